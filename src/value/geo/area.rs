//! What a search covers, and the cells in which it can find something.
//!
//! Nine cells are looked at: the one with the center, and its neighbours. Their size is chosen so that they
//! cover the shape; those that lie outside its bounds are left out again.

use smallvec::SmallVec;

use super::{Angle, Cell, EARTH_RADIUS_M, LATITUDE_MAX, LONGITUDE_MAX, Point, STEPS, latitude_distance_m};

/// Half the length of the equator on a Mercator map, in meters.
const MERCATOR_MAX: f64 = 20_037_726.37;
/// Beyond this latitude cells are half as wide as they seem, and beyond the next a quarter.
const NARROW: f64 = 66.0;
const NARROWER: f64 = 80.0;

/// The cells of a search: the middle one first, then its neighbours, as columns to the east and rows to the
/// north.
const NEIGHBOURS: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// An area to search.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Its middle. Distances of what is found are those from here.
    pub center: Point,
    /// What it looks like, in units.
    pub form: Form,
    /// Meters of a unit.
    pub unit_m: f64,
}

/// Forms of areas; lengths are in the shape's units.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Up to that distance from the center.
    Circle(f64),
    /// Half the width to the east and west, half the height to the north and south.
    Rectangle {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
    /// Corners on a map with straight meridians, at least three.
    Polygon(Vec<Point>),
}

/// The extent of a shape in degrees.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Shape {
    /// The area inside these corners, at least three; its center is their center of mass on the globe.
    pub fn polygon(corners: Vec<Point>) -> Shape {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for corner in &corners {
            let (longitude, latitude) = (corner.longitude.to_rad(), corner.latitude.to_rad());
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        let center =
            Point { longitude: y.atan2(x).to_deg(), latitude: z.atan2((x * x + y * y).sqrt()).to_deg() };
        Shape { center, form: Form::Polygon(corners), unit_m: 1.0 }
    }

    /// Meters from the center to a place, if it is in the area.
    pub fn distance_m(&self, point: Point) -> Option<f64> {
        let distance_m = || self.center.distance_m(point);
        match &self.form {
            Form::Circle(radius) => Some(distance_m()).filter(|&m| at_most(m, radius * self.unit_m)),
            Form::Rectangle { width, height } => {
                let north_m = latitude_distance_m(point.latitude, self.center.latitude);
                if !at_most(north_m, height * self.unit_m / 2.0) {
                    return None;
                }
                let meridian = Point { longitude: self.center.longitude, latitude: point.latitude };
                at_most(point.distance_m(meridian), width * self.unit_m / 2.0).then(distance_m)
            }
            Form::Polygon(corners) => is_inside(corners, point).then(distance_m),
        }
    }

    /// Ranges of scores, each from the first up to but without the second, that hold every place in the area,
    /// and others. At most nine; only where the area spans the globe can they overlap.
    pub fn scores(&self) -> SmallVec<[(u64, u64); 9]> {
        let mut ranges = SmallVec::new();
        let mut last = None;
        for (at, cell) in self.cells().into_iter().enumerate() {
            let Some(cell) = cell.filter(|&cell| last != Some(cell)) else { continue };
            // The middle one is never remembered.
            last = if at > 0 { Some(cell) } else { None };
            ranges.push(cell.scores());
        }
        ranges
    }

    /// The cells to look at, in the order of [`NEIGHBOURS`].
    fn cells(&self) -> [Option<Cell>; 9] {
        let bounds = self.bounds();
        let center = Point {
            longitude: self.center.longitude.clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: self.center.latitude.clamp(-LATITUDE_MAX, LATITUDE_MAX),
        };
        let mut steps = steps_for(self.reach_m(bounds), center.latitude);
        let mut middle = Cell::of(center, steps, LATITUDE_MAX);
        if steps > 1 && !covers(middle, bounds) {
            steps -= 1;
            middle = Cell::of(center, steps, LATITUDE_MAX);
        }
        let (longitude, latitude) = middle.ranges();
        NEIGHBOURS.map(|(east, north)| {
            let is_useless = (north < 0 && latitude.min < bounds.south)
                || (north > 0 && latitude.max > bounds.north)
                || (east < 0 && longitude.min < bounds.west)
                || (east > 0 && longitude.max > bounds.east);
            let cell = middle.moved(east, north);
            // The original tells a cell that is left out by zeros; none has no steps.
            (steps < 2 || !is_useless).then_some(cell)
        })
    }

    fn bounds(&self) -> Bounds {
        let (width, height) = match &self.form {
            Form::Circle(radius) => (self.unit_m * radius, self.unit_m * radius),
            Form::Rectangle { width, height } => (self.unit_m * width / 2.0, self.unit_m * height / 2.0),
            Form::Polygon(corners) => return bounds_of(corners),
        };
        let Point { longitude, latitude } = self.center;
        let north = (height / EARTH_RADIUS_M).to_deg();
        let east_at = |latitude: f64| (width / EARTH_RADIUS_M / latitude.to_rad().cos()).to_deg();
        let east = if latitude < 0.0 { east_at(latitude - north) } else { east_at(latitude + north) };
        Bounds {
            west: longitude - east,
            south: latitude - north,
            east: longitude + east,
            north: latitude + north,
        }
    }

    /// Meters from the center that the cells have to cover.
    fn reach_m(&self, bounds: Bounds) -> f64 {
        let reach = match &self.form {
            Form::Circle(radius) => *radius,
            Form::Rectangle { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            Form::Polygon(_) => {
                let corner_m = |longitude, latitude| self.center.distance_m(Point { longitude, latitude });
                corner_m(bounds.west, bounds.north)
                    .max(corner_m(bounds.east, bounds.north))
                    .max(corner_m(bounds.west, bounds.south))
                    .max(corner_m(bounds.east, bounds.south))
            }
        };
        reach * self.unit_m
    }
}

/// Not more than the limit; a number that is none passes, as it does in the original.
fn at_most(value: f64, limit: f64) -> bool {
    value.partial_cmp(&limit) != Some(std::cmp::Ordering::Greater)
}

/// Whether the cells around this one reach the bounds.
fn covers(middle: Cell, bounds: Bounds) -> bool {
    let (longitudes, latitudes) =
        (|east| middle.moved(east, 0).ranges().0, |north| middle.moved(0, north).ranges().1);
    let falls_short = latitudes(1).max < bounds.north
        || latitudes(-1).min > bounds.south
        || longitudes(1).max < bounds.east
        || longitudes(-1).min > bounds.west;
    !falls_short
}

/// Halvings after which nine cells mostly cover a circle of that radius.
fn steps_for(radius_m: f64, latitude: f64) -> u32 {
    if radius_m == 0.0 {
        return STEPS;
    }
    let (mut radius_m, mut steps) = (radius_m, -1i32);
    while radius_m < MERCATOR_MAX {
        radius_m *= 2.0;
        steps += 1;
    }
    steps -= i32::from(latitude.abs() > NARROW) + i32::from(latitude.abs() > NARROWER);
    steps.clamp(1, STEPS as i32) as u32
}

fn bounds_of(corners: &[Point]) -> Bounds {
    let mut bounds =
        Bounds { west: LONGITUDE_MAX, south: LATITUDE_MAX, east: -LONGITUDE_MAX, north: -LATITUDE_MAX };
    for corner in corners {
        bounds.west = bounds.west.min(corner.longitude);
        bounds.south = bounds.south.min(corner.latitude);
        bounds.east = bounds.east.max(corner.longitude);
        bounds.north = bounds.north.max(corner.latitude);
    }
    bounds
}

/// Whether a ray from the place to the east crosses an odd number of edges.
fn is_inside(corners: &[Point], point: Point) -> bool {
    let Some(&last) = corners.last() else { return false };
    let (mut previous, mut inside) = (last, false);
    for &corner in corners {
        let spans = (corner.latitude > point.latitude) != (previous.latitude > point.latitude);
        inside ^= spans
            && point.longitude
                < (previous.longitude - corner.longitude) * (point.latitude - corner.latitude)
                    / (previous.latitude - corner.latitude)
                    + corner.longitude;
        previous = corner;
    }
    inside
}
