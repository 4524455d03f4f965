//! Places on the earth as numbers that sort near what is near.
//!
//! For: turning coordinates into scores of a sorted set and back, distances, what a search has to look at.
//! May touch: numbers only.
//! Always: results are those of Redis and Valkey to the last digit, so the arithmetic is theirs operation for
//! operation: do not simplify it.
//!
//! A geohash halves the range of longitudes and of latitudes again and again; of each half it keeps one bit.
//! A score has 26 bits of each, interleaved with the longitude first, so a prefix of it is a cell that holds
//! the place ([`area`]). Latitudes end where a Mercator map does.

mod area;

pub use area::{Form, Shape};

/// The largest longitude in degrees; the smallest is its negation.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The largest latitude in degrees that has a score; the smallest is its negation.
pub const LATITUDE_MAX: f64 = 85.05112878;

/// Mean radius of the earth.
const EARTH_RADIUS_M: f64 = 6_372_797.560856;
/// Halvings of each range that a score keeps.
const STEPS: u32 = 26;
/// Digits of a geohash as text, five bits each.
const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
/// Length of a geohash as text. A score has no bits for the last digit, which is always 0.
pub const TEXT_LEN: usize = 11;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Point {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

impl Point {
    /// Whether it has a score.
    pub fn is_in_range(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The score of the place, which is in range: an integer of 52 bits (53 at the northern edge).
    pub fn score(self) -> u64 {
        Cell::of(self, STEPS, LATITUDE_MAX).bits()
    }

    /// The middle of the finest cell of a score. Every number has one.
    pub fn of_score(score: f64) -> Point {
        let (longitude, latitude) = Cell::of_bits(to_bits(score), STEPS).ranges();
        let middle = |range: Span, max: f64| ((range.min + range.max) / 2.0).clamp(-max, max);
        Point { longitude: middle(longitude, LONGITUDE_MAX), latitude: middle(latitude, LATITUDE_MAX) }
    }

    /// Meters between two places, along a great circle.
    pub fn distance_m(self, other: Point) -> f64 {
        let v = ((other.longitude.to_rad() - self.longitude.to_rad()) / 2.0).sin();
        if v == 0.0 {
            return latitude_distance_m(self.latitude, other.latitude);
        }
        let (one, two) = (self.latitude.to_rad(), other.latitude.to_rad());
        let u = ((two - one) / 2.0).sin();
        let a = u * u + one.cos() * two.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }

    /// The geohash as other programs write it, whose latitudes go to the poles.
    pub fn text(self) -> [u8; TEXT_LEN] {
        let bits = Cell::of(self, STEPS, 90.0).bits();
        std::array::from_fn(|at| {
            let shift = (2 * STEPS).checked_sub(5 * (at as u32 + 1));
            DIGITS[shift.map_or(0, |shift| (bits >> shift) as usize & 0x1f)]
        })
    }
}

/// A distance in meters between two latitudes.
fn latitude_distance_m(one: f64, two: f64) -> f64 {
    EARTH_RADIUS_M * (two.to_rad() - one.to_rad()).abs()
}

/// Degrees to radians and back, each rounded as the original rounds.
trait Angle {
    fn to_rad(self) -> f64;
    fn to_deg(self) -> f64;
}

const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

impl Angle for f64 {
    fn to_rad(self) -> f64 {
        self * RADIANS_PER_DEGREE
    }

    fn to_deg(self) -> f64 {
        self / RADIANS_PER_DEGREE
    }
}

/// A score as bits, as a conversion on the original's machines makes them of any number.
fn to_bits(score: f64) -> u64 {
    const TWO_TO_63: f64 = (1u64 << 63) as f64;
    match score {
        _ if score < 0.0 => (score as i64).cast_unsigned(),
        _ if score < 2.0 * TWO_TO_63 => score as u64,
        _ => 0,
    }
}

/// Degrees from one to another.
#[derive(Clone, Copy, Debug)]
struct Span {
    min: f64,
    max: f64,
}

/// One of the rectangles that so many halvings of both ranges make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Which from the west.
    longitude: u32,
    /// Which from the south.
    latitude: u32,
    /// Halvings, 1 to 26.
    steps: u32,
}

impl Cell {
    /// The cell that holds a place; latitudes go from `-latitude_max` to `latitude_max`.
    fn of(point: Point, steps: u32, latitude_max: f64) -> Cell {
        let index = |degrees: f64, max: f64| {
            let part = (degrees - -max) / (max - -max);
            (part * (1u64 << steps) as f64) as u32
        };
        Cell {
            longitude: index(point.longitude, LONGITUDE_MAX),
            latitude: index(point.latitude, latitude_max),
            steps,
        }
    }

    fn of_bits(bits: u64, steps: u32) -> Cell {
        Cell { longitude: gather(bits >> 1), latitude: gather(bits), steps }
    }

    /// Longitude and latitude bit by bit, the longitude first.
    fn bits(self) -> u64 {
        spread(self.longitude) << 1 | spread(self.latitude)
    }

    /// Its longitudes and latitudes.
    fn ranges(self) -> (Span, Span) {
        let span = |index: u32, max: f64| {
            let degrees = |index: u32| -max + f64::from(index) / (1u64 << self.steps) as f64 * (max - -max);
            Span { min: degrees(index), max: degrees(index.wrapping_add(1)) }
        };
        (span(self.longitude, LONGITUDE_MAX), span(self.latitude, LATITUDE_MAX))
    }

    /// The cell so many to the east and to the north; the map is a torus.
    fn moved(self, east: i32, north: i32) -> Cell {
        let index = |index: u32, by: i32| match by {
            0 => index,
            _ => index.wrapping_add_signed(by) & ((1 << self.steps) - 1),
        };
        Cell { longitude: index(self.longitude, east), latitude: index(self.latitude, north), ..self }
    }

    /// The scores of the places in it: from the first, up to but without the second.
    fn scores(self) -> (u64, u64) {
        let shift = 2 * (STEPS - self.steps);
        (self.bits() << shift, (self.bits() + 1) << shift)
    }
}

/// Moves bit n to bit 2n.
fn spread(index: u32) -> u64 {
    let mut bits = u64::from(index);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Moves bit 2n to bit n and drops the others.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

#[cfg(test)]
mod tests;
