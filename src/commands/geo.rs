//! Places in sorted sets: adding them and asking for single ones.
//!
//! For: the commands of group `geo` that do not search (`geo_search`). May touch: what `Cx` carries.
//! Always: a set of places is a sorted set like any other, whose scores are places by agreement only; every
//! score is some place.

use super::zset;
use crate::command::{Acl, Command, Cursor, Cx, Flags, Group, KeyFlags, KeySpec, Outcome, cmd};
use crate::fault::Fault;
use crate::keyspace::Db;
use crate::resp::{Args, Out, OwnedArgs, write_i64};
use crate::value::geo::Point;
use crate::value::number::parse_double;
use crate::value::{ZSet, zset::ZSetRef};

pub(super) const READ: Flags = Flags::READONLY;
pub(super) const GROW: Flags = Flags::WRITE.union(Flags::DENY_OOM);
pub(super) const READS_IT: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));

/// The rows of this file.
pub const ROWS: &[Command] = &[
    cmd("GEOADD", geoadd)
        .args_since(&[("6.2.0", "condition change")])
        .arity(-5)
        .flags(GROW)
        .acl(Acl::GEO)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .group(Group::Geo)
        .since("3.2.0")
        .cost("O(log(N)) for each place, N members in the set.")
        .history(&[("6.2.0", "Takes CH, NX and XX.")])
        .doc(
            "Adds places to a sorted set, which is created if need be, or moves them.",
            "key condition=[NX | XX] change=[CH] data=<longitude:double latitude:double member> \
             [longitude:double latitude:double member ...]",
        ),
    cmd("GEODIST", geodist)
        .arity(-4)
        .flags(READ)
        .acl(Acl::GEO)
        .keys(&[READS_IT])
        .group(Group::Geo)
        .since("3.2.0")
        .doc("Answers the distance between two places.", "key member1 member2 unit=[M | KM | FT | MI]"),
    cmd("GEOHASH", geohash)
        .arity(-2)
        .flags(READ)
        .acl(Acl::GEO)
        .keys(&[READS_IT])
        .group(Group::Geo)
        .since("3.2.0")
        .cost("O(1) for each member.")
        .doc("Answers the geohashes of places as text.", "key [member ...]"),
    cmd("GEOPOS", geopos)
        .arity(-2)
        .flags(READ)
        .acl(Acl::GEO)
        .keys(&[READS_IT])
        .group(Group::Geo)
        .since("3.2.0")
        .cost("O(1) for each member.")
        .doc("Answers the longitudes and latitudes of places.", "key [member ...]"),
];

/// Runs and propagates as the ZADD that it comes down to.
fn geoadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 2);
    let (mut nx, mut xx) = (false, false);
    loop {
        match () {
            () if cursor.word("NX") => nx = true,
            () if cursor.word("XX") => xx = true,
            () if cursor.word("CH") => {}
            () => break,
        }
    }
    let first = cursor.index();
    if !cursor.left().is_multiple_of(3) || (nx && xx) {
        return Err(Fault::SYNTAX);
    }
    let mut zadd = OwnedArgs::with_capacity(args.len(), args.size_bytes());
    zadd.push(b"ZADD");
    (1..first).for_each(|at| zadd.push(args.get(at)));
    let mut digits = Vec::new();
    while !cursor.is_end() {
        let place = read_point(cursor.need()?, cursor.need()?)?;
        digits.clear();
        write_i64(place.score().cast_signed(), &mut digits);
        zadd.push(&digits);
        zadd.push(cursor.need()?);
    }
    let outcome = zset::zadd(cx, zadd.as_args())?;
    if cx.db.logs() && cx.db.record.dirty > 0 {
        let argv: Vec<&[u8]> = zadd.as_args().iter().collect();
        cx.db.propagate(&argv);
    }
    Ok(outcome)
}

fn geodist(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 4);
    if cursor.left() > 1 {
        return Err(Fault::SYNTAX);
    }
    let unit_m = cursor.next().map_or(Ok(1.0), read_unit)?;
    let set = cx.db.read_as::<ZSet>(args.get(1))?;
    let place = |at| Some(Point::of_score(set?.score(args.get(at))?));
    match place(2).zip(place(3)) {
        Some((one, two)) => reply_distance(cx.out, one.distance_m(two) / unit_m),
        None => cx.out.null(),
    }
    Ok(Outcome::Done)
}

fn geohash(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    each_member(&mut cx.db, cx.out, &args, |out, place| match place {
        Some(place) => out.bulk(&place.text()),
        None => out.null(),
    })
}

fn geopos(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    each_member(&mut cx.db, cx.out, &args, |out, place| match place {
        Some(place) => reply_point(out, place),
        None => out.null_array(),
    })
}

/// Replies with something about each of the members from argument 2 on.
fn each_member(
    db: &mut Db<'_>,
    out: &mut Out,
    args: &Args<'_>,
    reply: impl Fn(&mut Out, Option<Point>),
) -> Result<Outcome, Fault> {
    let set: Option<ZSetRef<'_>> = db.read_as::<ZSet>(args.get(1))?;
    out.array(args.len() - 2);
    for member in args.from(2).iter() {
        reply(out, set.and_then(|set| set.score(member)).map(Point::of_score));
    }
    Ok(Outcome::Done)
}

/// Reads a longitude and a latitude.
///
/// # Errors
/// [`Fault::NOT_A_FLOAT`], and a fault of its own for a place that has no score.
pub(super) fn read_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, Fault> {
    let number = |arg| parse_double(arg).ok_or(Fault::NOT_A_FLOAT);
    let place = Point { longitude: number(longitude)?, latitude: number(latitude)? };
    if place.is_in_range() { Ok(place) } else { Err(Fault::place(place.longitude, place.latitude)) }
}

/// Reads the name of a unit; answers its length in meters.
///
/// # Errors
/// [`Fault::GEO_UNIT`].
pub(super) fn read_unit(name: &[u8]) -> Result<f64, Fault> {
    match name.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Fault::GEO_UNIT),
    }
}

/// Writes a distance with four decimal places.
pub(super) fn reply_distance(out: &mut Out, distance: f64) {
    const SCALE: f64 = 10_000.0;
    let scaled = (distance * SCALE).round_ties_even() as u64;
    out.bulk(format!("{}.{:04}", scaled / SCALE as u64, scaled % SCALE as u64).as_bytes());
}

/// Writes a longitude and a latitude.
pub(super) fn reply_point(out: &mut Out, place: Point) {
    out.array(2);
    out.human_double(place.longitude);
    out.human_double(place.latitude);
}
