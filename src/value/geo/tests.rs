//! Places against recorded values, and areas against distances.

use super::*;
use proptest::prelude::*;

fn point(longitude: f64, latitude: f64) -> Point {
    Point { longitude, latitude }
}

const PALERMO: Point = Point { longitude: 13.361389, latitude: 38.115556 };
const CATANIA: Point = Point { longitude: 15.087269, latitude: 37.502669 };

#[test]
fn known_places_have_their_known_numbers() {
    assert_eq!(PALERMO.score(), 3_479_099_956_230_698);
    assert_eq!(CATANIA.score(), 3_479_447_370_796_909);
    let [palermo, catania] = [PALERMO, CATANIA].map(|place| Point::of_score(place.score() as f64));
    assert_eq!(palermo, point(13.361_389_338_970_184, 38.115_556_395_496_3));
    assert_eq!((palermo.text(), catania.text()), (*b"sqc8b49rny0", *b"sqdtr74hyu0"));
    assert_eq!(format!("{:.4}", palermo.distance_m(catania)), "166274.1516");
}

#[test]
fn the_edges_of_the_map_have_scores() {
    assert_eq!(point(-180.0, -LATITUDE_MAX).score(), 0);
    assert_eq!(point(180.0, LATITUDE_MAX).score(), 3 << 52);
    assert!(point(180.0, -LATITUDE_MAX).is_in_range());
    assert!(!point(180.1, 0.0).is_in_range() && !point(0.0, 85.06).is_in_range());
    assert!(!point(f64::INFINITY, 0.0).is_in_range());
}

#[test]
fn every_number_is_the_score_of_some_place() {
    for score in [0.0, -0.0, -1.0, 0.5, 1e300, -1e300, f64::MAX, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(Point::of_score(score).is_in_range(), "{score}");
    }
}

#[test]
fn a_place_is_inside_or_outside_a_polygon() {
    let triangle = Shape::polygon(vec![point(0.0, 0.0), point(10.0, 0.0), point(0.0, 10.0)]);
    assert!(triangle.distance_m(point(1.0, 1.0)).is_some());
    assert!(triangle.distance_m(point(9.0, 9.0)).is_none());
    assert!(triangle.distance_m(point(-1.0, 1.0)).is_none());
}

#[test]
fn endless_shapes_are_searched() {
    for length in [0.0, 1e-300, 1e300, f64::INFINITY] {
        for form in [Form::Circle(length), Form::Rectangle { width: length, height: length }] {
            for center in [point(0.0, 0.0), point(180.0, LATITUDE_MAX), point(-180.0, -LATITUDE_MAX)] {
                let shape = Shape { center, form: form.clone(), unit_m: 1609.34 };
                assert!((1..=9).contains(&shape.scores().len()));
            }
        }
    }
    let pole = Shape::polygon(vec![point(0.0, 85.0), point(120.0, 85.0), point(-120.0, 85.0)]);
    assert!(pole.center.latitude > LATITUDE_MAX && !pole.scores().is_empty());
}

fn arb_point() -> impl Strategy<Value = Point> {
    (-180.0..=180.0f64, -LATITUDE_MAX..=LATITUDE_MAX).prop_map(|(x, y)| point(x, y))
}

proptest! {
    #[test]
    fn bits_are_spread_and_gathered(index: u32) {
        prop_assert_eq!(gather(spread(index)), index);
        prop_assert_eq!(gather(spread(index) << 1), 0);
    }

    #[test]
    fn a_score_is_the_place_within_a_meter(place in arb_point()) {
        let found = Point::of_score(place.score() as f64);
        prop_assert!(place.distance_m(found) < 1.0);
        prop_assert!(found.is_in_range());
        prop_assert_eq!(found.score(), place.score());
    }

    #[test]
    fn a_search_looks_where_the_places_are(
        // Near poles and the antimeridian the nine cells are known not to hold everything.
        center in (-150.0..=150.0f64, -60.0..=60.0f64).prop_map(|(x, y)| point(x, y)),
        place in (-0.5..=0.5f64, -0.5..=0.5f64),
        radius in 1.0..100_000.0f64,
        width in 1.0..100_000.0f64,
    ) {
        let place = point(center.longitude + place.0, center.latitude + place.1);
        let place = Point::of_score(place.score() as f64);
        for form in [Form::Circle(radius), Form::Rectangle { width, height: radius }] {
            let shape = Shape { center, form, unit_m: 1.0 };
            if shape.distance_m(place).is_some() {
                let ranges = shape.scores();
                let score = place.score();
                prop_assert!(ranges.iter().any(|&(min, max)| min <= score && score < max));
            }
        }
    }
}
