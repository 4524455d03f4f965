//! Searching for places near another, in a rectangle, or in a polygon.
//!
//! For: GEOSEARCH, GEORADIUS and their relatives. May touch: what `Cx` carries.
//! Always: the set is looked up before options are read, as errors of options can depend on its members; it
//! is written to only after everything was read.

use super::geo::{GROW, READ, READS_IT, read_point, read_unit, reply_distance, reply_point};
use super::zset;
use crate::command::{Acl, Command, Cursor, Cx, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::{Deadline, Event};
use crate::resp::{Args, Out, parse_i64};
use crate::value::geo::{Form, Point, Shape};
use crate::value::number::parse_double;
use crate::value::{
    Item, ZSet,
    zset::{Probe, ZSetRef},
};

/// Fewest corners of a polygon.
const CORNERS_MIN: usize = 3;

const RADIUS_KEYS: &[KeySpec] = &[READS_IT, stored(6, "STORE", "STOREDIST"), stored(6, "STOREDIST", "STORE")];
const BY_MEMBER_KEYS: &[KeySpec] =
    &[READS_IT, stored(5, "STORE", "STOREDIST"), stored(5, "STOREDIST", "STORE")];

const fn stored(begin: i32, word: &'static str, rival: &'static str) -> KeySpec {
    KeySpec::behind(begin, word, rival, KeyFlags::OW.union(KeyFlags::UPDATE).union(KeyFlags::VARIABLE))
}

const RADIUS_COST: &str =
    "O(N+log(M)), N members in the rectangle around the circle and M members in the set.";
const SEARCH_COST: &str = "O(N+log(M)), N members in the rectangle around the area and M members in the set.";

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("GEORADIUS", georadius)
        .args_since(&[("6.2.0", "any")])
        .arity(-6)
        .flags(GROW.union(crate::command::Flags::MOVABLE_KEYS))
        .acl(Acl::GEO)
        .keys(RADIUS_KEYS)
        .group(Group::Geo)
        .since("3.2.0")
        .cost(RADIUS_COST)
        .history(&[("6.2.0", "Takes ANY with COUNT."), ("7.0.0", "Takes units in upper case, too.")])
        .doc(
            "Finds places within a distance of a point, and stores them if asked to.",
            "key longitude:double latitude:double radius:double unit=<M | KM | FT | MI> [WITHCOORD] \
             [WITHDIST] [WITHHASH] count-block=[<COUNT count> [ANY]] order=[ASC | DESC] \
             store=[STORE storekey:key | STOREDIST storedistkey:key]",
        ),
    cmd("GEORADIUSBYMEMBER", georadiusbymember)
        .arity(-5)
        .flags(GROW.union(crate::command::Flags::MOVABLE_KEYS))
        .acl(Acl::GEO)
        .keys(BY_MEMBER_KEYS)
        .group(Group::Geo)
        .since("3.2.0")
        .cost(RADIUS_COST)
        .history(&[("6.2.0", "Takes ANY with COUNT."), ("7.0.0", "Takes units in upper case, too.")])
        .doc(
            "Finds places within a distance of another, and stores them if asked to.",
            "key member radius:double unit=<M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             count-block=[<COUNT count> [ANY]] order=[ASC | DESC] \
             store=[STORE storekey:key | STOREDIST storedistkey:key]",
        ),
    cmd("GEORADIUSBYMEMBER_RO", georadiusbymember_ro)
        .arity(-5)
        .flags(READ)
        .acl(Acl::GEO)
        .keys(&[READS_IT])
        .group(Group::Geo)
        .since("3.2.10")
        .cost(RADIUS_COST)
        .history(&[("6.2.0", "Takes ANY with COUNT."), ("7.0.0", "Takes units in upper case, too.")])
        .doc(
            "Finds places within a distance of another.",
            "key member radius:double unit=<M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             count-block=[<COUNT count> [ANY]] order=[ASC | DESC]",
        ),
    cmd("GEORADIUS_RO", georadius_ro)
        .args_since(&[("6.2.0", "any")])
        .arity(-6)
        .flags(READ)
        .acl(Acl::GEO)
        .keys(&[READS_IT])
        .group(Group::Geo)
        .since("3.2.10")
        .cost(RADIUS_COST)
        .history(&[("6.2.0", "Takes ANY with COUNT."), ("7.0.0", "Takes units in upper case, too.")])
        .doc(
            "Finds places within a distance of a point.",
            "key longitude:double latitude:double radius:double unit=<M | KM | FT | MI> [WITHCOORD] \
             [WITHDIST] [WITHHASH] count-block=[<COUNT count> [ANY]] order=[ASC | DESC]",
        ),
    cmd("GEOSEARCH", geosearch)
        .args_since(&[("9.0.0", "polygon")])
        .arity(-7)
        .flags(READ)
        .acl(Acl::GEO)
        .keys(&[READS_IT])
        .group(Group::Geo)
        .since("6.2.0")
        .cost(SEARCH_COST)
        .history(&[("7.0.0", "Takes units in upper case, too."), ("9.0.0", "Takes BYPOLYGON.")])
        .doc(
            "Finds places in a circle, a rectangle or a polygon.",
            "key from=[FROMMEMBER member | FROMLONLAT fromlonlat=<longitude:double latitude:double>] \
             by=<circle=<<BYRADIUS radius:double> unit=<M | KM | FT | MI>> | \
             box=<<BYBOX width:double> height:double unit=<M | KM | FT | MI>> | polygon=<<BYPOLYGON \
             num-vertices:integer> vertices=<longitude:double latitude:double> \
             [longitude:double latitude:double ...]>> \
             order=[ASC | DESC] count-block=[<COUNT count> [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        ),
    cmd("GEOSEARCHSTORE", geosearchstore)
        .args_since(&[("9.0.0", "polygon")])
        .arity(-8)
        .flags(GROW)
        .acl(Acl::GEO)
        .keys(&[
            KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ])
        .group(Group::Geo)
        .since("6.2.0")
        .cost(SEARCH_COST)
        .history(&[("7.0.0", "Takes units in upper case, too."), ("9.0.0", "Takes BYPOLYGON.")])
        .doc(
            "Stores the places in a circle, a rectangle or a polygon.",
            "destination source \
             from=[FROMMEMBER member | FROMLONLAT fromlonlat=<longitude:double latitude:double>] \
             by=<circle=<<BYRADIUS radius:double> unit=<M | KM | FT | MI>> | \
             box=<<BYBOX width:double> height:double unit=<M | KM | FT | MI>> | polygon=<<BYPOLYGON \
             num-vertices:integer> vertices=<longitude:double latitude:double> \
             [longitude:double latitude:double ...]>> \
             order=[ASC | DESC] count-block=[<COUNT count> [ANY]] [STOREDIST]",
        ),
];

fn georadius(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    search(cx, args, Kind::AroundPoint, true)
}

fn georadiusbymember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    search(cx, args, Kind::AroundMember, true)
}

fn georadiusbymember_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    search(cx, args, Kind::AroundMember, false)
}

fn georadius_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    search(cx, args, Kind::AroundPoint, false)
}

fn geosearch(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    search(cx, args, Kind::Search, false)
}

fn geosearchstore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    search(cx, args, Kind::Search, true)
}

/// How the area is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// GEORADIUS
    AroundPoint,
    /// GEORADIUSBYMEMBER
    AroundMember,
    /// GEOSEARCH
    Search,
}

fn search(cx: &mut Cx<'_>, args: Args<'_>, kind: Kind, may_store: bool) -> Result<Outcome, Fault> {
    let (is_search, stores) = (kind == Kind::Search, kind == Kind::Search && may_store);
    let limits = zset::limits(cx);
    let set = cx.db.read_as::<ZSet>(args.get(if stores { 2 } else { 1 }))?;
    let query = Query::read(args, kind, may_store, set)?;
    // Without a set there may be no shape: nothing was found that its center could be.
    let found = match (set, &query.shape) {
        (Some(set), Some(shape)) => query.find(set, shape),
        _ => Vec::new(),
    };
    let Some((key, by_distance)) = query.store else {
        query.reply(cx.out, &found);
        return Ok(Outcome::Done);
    };
    let longest = found.iter().map(|it| it.member.len()).max().unwrap_or(0);
    let mut result = ZSet::sized(found.len(), longest, limits);
    let mut member = Vec::new();
    for it in &found {
        member.clear();
        it.member.append_to(&mut member);
        result.set(&member, if by_distance { it.distance } else { it.score }, limits);
    }
    let count = found.len();
    let mut w = cx.db.open(key);
    if count > 0 {
        w.put_value(result, Deadline::Clear);
        let event = if is_search { Event::GEOSEARCHSTORE } else { Event::GEORADIUSSTORE };
        w.commit_counting(event, count as u64);
    } else if w.exists() {
        w.remove();
        w.commit(Event::DEL);
    }
    cx.out.int(count as i64);
    Ok(Outcome::Done)
}

/// Which places are wanted, in which order, and what about them.
#[derive(Default)]
struct Query<'a> {
    shape: Option<Shape>,
    /// `Some(false)`: the nearest first, `Some(true)`: the farthest.
    descends: Option<bool>,
    /// At most that many; above zero.
    count: Option<usize>,
    /// The first `count` that are found will do.
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_point: bool,
    /// Where to store them, and whether with their distances.
    store: Option<(&'a [u8], bool)>,
}

/// A place that was found.
struct Found<'a> {
    member: Item<'a>,
    score: f64,
    place: Point,
    /// From the center, in the shape's units.
    distance: f64,
}

/// What GEOSEARCH's options have told so far.
#[derive(Default)]
struct Area {
    /// FROMMEMBER was given; `None` inside when there is no set.
    member: Option<Option<Point>>,
    point: Option<Point>,
    /// BYRADIUS or BYBOX, and the length of its unit in meters.
    circle: Option<(Form, f64)>,
    rectangle: Option<(Form, f64)>,
    polygon: Option<Shape>,
}

impl<'a> Query<'a> {
    fn read(
        args: Args<'a>,
        kind: Kind,
        may_store: bool,
        set: Option<ZSetRef<'_>>,
    ) -> Result<Query<'a>, Fault> {
        let mut query = Query::default();
        let mut area = Area::default();
        let mut cursor;
        match kind {
            Kind::AroundPoint => {
                area.point = Some(read_point(args.get(2), args.get(3))?);
                area.circle = Some(read_circle(args.get(4), args.get(5))?);
                cursor = Cursor::new(args, 6);
            }
            Kind::AroundMember => {
                // Without a set neither member nor radius is looked at.
                if let Some(set) = set {
                    area.point = Some(place_of(set, args.get(2))?);
                    area.circle = Some(read_circle(args.get(3), args.get(4))?);
                }
                cursor = Cursor::new(args, 5);
            }
            Kind::Search => {
                cursor = Cursor::new(args, 2 + usize::from(may_store));
                query.store = may_store.then(|| (args.get(1), false));
            }
        }
        while !cursor.is_end() {
            query.read_option(&mut cursor, &mut area, kind, may_store, set)?;
        }
        query.check(&args, kind, &area)?;
        query.shape = area.shape();
        Ok(query)
    }

    fn read_option(
        &mut self,
        cursor: &mut Cursor<'a>,
        area: &mut Area,
        kind: Kind,
        may_store: bool,
        set: Option<ZSetRef<'_>>,
    ) -> Result<(), Fault> {
        let (is_search, left) = (kind == Kind::Search, cursor.left());
        match () {
            () if cursor.word("WITHDIST") => self.with_distance = true,
            () if cursor.word("WITHHASH") => self.with_hash = true,
            () if cursor.word("WITHCOORD") => self.with_point = true,
            () if cursor.word("ANY") => self.any = true,
            () if cursor.word("ASC") => self.descends = Some(false),
            () if cursor.word("DESC") => self.descends = Some(true),
            () if left > 1 && cursor.word("COUNT") => {
                let count = usize::try_from(cursor.int()?).ok().filter(|&count| count > 0);
                self.count = Some(count.ok_or(Fault::GEO_COUNT)?);
            }
            () if is_search && may_store && cursor.word("STOREDIST") => {
                self.store = self.store.map(|(key, _)| (key, true));
            }
            () if !is_search && may_store && left > 1 && cursor.word("STORE") => {
                self.store = Some((cursor.need()?, false));
            }
            () if !is_search && may_store && left > 1 && cursor.word("STOREDIST") => {
                self.store = Some((cursor.need()?, true));
            }
            () if is_search => area.read_option(cursor, set)?,
            () => return Err(Fault::SYNTAX),
        }
        Ok(())
    }

    /// Options that do not go together, or not without another.
    fn check(&self, args: &Args<'_>, kind: Kind, area: &Area) -> Result<(), Fault> {
        let is_search = kind == Kind::Search;
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_point) {
            return Err(if is_search { Fault::GEOSEARCHSTORE_WITH } else { Fault::GEORADIUS_STORE_WITH });
        }
        let has_center = area.member.is_some() || area.point.is_some() || area.polygon.is_some();
        if is_search && !has_center {
            return Err(Fault::geo_center(args.get(0)));
        }
        let has_form = area.circle.is_some() || area.rectangle.is_some() || area.polygon.is_some();
        if is_search && !has_form {
            return Err(Fault::geo_form(args.get(0)));
        }
        if self.any && self.count.is_none() { Err(Fault::GEO_ANY) } else { Ok(()) }
    }

    /// What is in the area, as much as is wanted of it.
    fn find<'s>(&self, set: ZSetRef<'s>, shape: &Shape) -> Vec<Found<'s>> {
        let enough = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for (min, max) in shape.scores() {
            let first = set.rank(Probe::BeforeScore(min as f64));
            let entries = set.range(first..set.len(), false);
            for (member, score) in entries.take_while(|&(_, score)| score < max as f64) {
                if found.len() >= enough {
                    break;
                }
                let place = Point::of_score(score);
                if let Some(distance_m) = shape.distance_m(place) {
                    found.push(Found { member, score, place, distance: distance_m });
                }
            }
        }
        // Who wants only some wants the nearest.
        let descends = self.descends.or(self.count.filter(|_| !self.any).map(|_| false));
        if let Some(descends) = descends {
            found.sort_by(|one, two| {
                let order = one.distance.total_cmp(&two.distance);
                if descends { order.reverse() } else { order }
            });
        }
        found.truncate(self.count.unwrap_or(usize::MAX));
        found.iter_mut().for_each(|it| it.distance /= shape.unit_m);
        found
    }

    fn reply(&self, out: &mut Out, found: &[Found<'_>]) {
        let parts =
            1 + usize::from(self.with_distance) + usize::from(self.with_hash) + usize::from(self.with_point);
        out.array(found.len());
        for it in found {
            if parts > 1 {
                out.array(parts);
            }
            out.item(it.member);
            if self.with_distance {
                reply_distance(out, it.distance);
            }
            if self.with_hash {
                out.int(it.score as i64);
            }
            if self.with_point {
                reply_point(out, it.place);
            }
        }
    }
}

impl Area {
    /// Reads one of the options that only GEOSEARCH has.
    fn read_option(&mut self, cursor: &mut Cursor<'_>, set: Option<ZSetRef<'_>>) -> Result<(), Fault> {
        let left = cursor.left();
        let (has_member, has_point) = (self.member.is_some(), self.point.is_some());
        let (has_circle, has_rectangle) = (self.circle.is_some(), self.rectangle.is_some());
        let has_polygon = self.polygon.is_some();
        match () {
            () if left > 1 && !has_point && !has_polygon && cursor.word("FROMMEMBER") => {
                let member = cursor.need()?;
                self.member = Some(set.map(|set| place_of(set, member)).transpose()?);
            }
            () if left > 2 && !has_member && !has_polygon && cursor.word("FROMLONLAT") => {
                self.point = Some(read_point(cursor.need()?, cursor.need()?)?);
            }
            () if left > 2 && !has_rectangle && !has_polygon && cursor.word("BYRADIUS") => {
                self.circle = Some(read_circle(cursor.need()?, cursor.need()?)?);
            }
            () if left > 3 && !has_circle && !has_polygon && cursor.word("BYBOX") => {
                let length = |arg, fault| parse_double(arg).ok_or(fault);
                let width = length(cursor.need()?, Fault::GEO_WIDTH)?;
                let height = length(cursor.need()?, Fault::GEO_HEIGHT)?;
                if width < 0.0 || height < 0.0 {
                    return Err(Fault::GEO_NEGATIVE_BOX);
                }
                self.rectangle = Some((Form::Rectangle { width, height }, read_unit(cursor.need()?)?));
            }
            () if left > 2
                && !(has_circle || has_rectangle || has_member || has_point)
                && cursor.word("BYPOLYGON") =>
            {
                self.polygon = Some(read_polygon(cursor)?);
            }
            () => return Err(Fault::SYNTAX),
        }
        Ok(())
    }

    fn shape(self) -> Option<Shape> {
        if self.polygon.is_some() {
            return self.polygon;
        }
        let center = self.point.or(self.member.flatten())?;
        let (form, unit_m) = self.circle.or(self.rectangle)?;
        Some(Shape { center, form, unit_m })
    }
}

fn place_of(set: ZSetRef<'_>, member: &[u8]) -> Result<Point, Fault> {
    set.score(member).map(Point::of_score).ok_or_else(|| Fault::no_geo_member(member))
}

fn read_circle(radius: &[u8], unit: &[u8]) -> Result<(Form, f64), Fault> {
    let radius = parse_double(radius).ok_or(Fault::GEO_RADIUS)?;
    if radius < 0.0 {
        return Err(Fault::GEO_NEGATIVE_RADIUS);
    }
    Ok((Form::Circle(radius), read_unit(unit)?))
}

/// Reads the number of corners and the corners.
fn read_polygon(cursor: &mut Cursor<'_>) -> Result<Shape, Fault> {
    let count = parse_i64(cursor.need()?).and_then(|count| i32::try_from(count).ok());
    let count = usize::try_from(count.ok_or(Fault::GEO_CORNERS)?).unwrap_or(0);
    if count < CORNERS_MIN || cursor.left() / 2 < count {
        return Err(Fault::GEO_CORNERS_MIN);
    }
    let corners = (0..count).map(|_| read_point(cursor.need()?, cursor.need()?));
    Ok(Shape::polygon(corners.collect::<Result<_, _>>()?))
}
