//! LOLWUT.
//!
//! For: a picture and the version. May touch: the worker's chance.
//! Always: a picture has at most [`MOST_COLUMNS`] by [`MOST_ROWS`] characters.

use crate::clock::Chance;
use crate::command::{Command, Cursor, Cx, Flags, Group, Outcome, cmd};
use crate::fault::Fault;
use crate::resp::Args;

/// The rows of this file.
pub const ROWS: &[Command] = &[cmd("LOLWUT", lolwut)
    .arity(-1)
    .flags(Flags::READONLY.union(Flags::FAST))
    .group(Group::Server)
    .since("5.0.0")
    .cost("O(N), N characters of the picture.")
    .doc("Draws a picture and tells the version.", "[VERSION version]")];

const COLUMNS: i64 = 66;
const PICTURE_ROWS: i64 = 18;
const MOST_COLUMNS: i64 = 160;
const MOST_ROWS: i64 = 80;
/// Versions of the server that brought a picture; the others answer their version alone.
const PICTURES: [i64; 4] = [5, 6, 8, 9];
/// From the sky to the ground.
const TONES: &[u8] = b" .:-=+*#%@";

fn lolwut(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let mut cursor = Cursor::new(args, 1);
    let version = match cursor.left() >= 2 && cursor.word("VERSION") {
        true => Some(cursor.int()?),
        false => None,
    };
    if version.is_some_and(|version| !PICTURES.contains(&version)) {
        let text = format!("Redis ver.{}\n", crate::REDIS_VERSION);
        cx.out.verbatim("txt", text.as_bytes());
        return Ok(Outcome::Done);
    }
    let (columns, rows) = match cursor.left() {
        0 => (COLUMNS, PICTURE_ROWS),
        2 => (cursor.int()?, cursor.int()?),
        _ => return Err(Fault::LOLWUT_USAGE),
    };
    let mut text = dunes(columns.clamp(1, MOST_COLUMNS), rows.clamp(1, MOST_ROWS), &mut cx.db.record.chance);
    text += &format!("\nOchre dunes, never the same twice. Redis ver. {}\n", crate::REDIS_VERSION);
    cx.out.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// Rows of sand hills, the nearest in front; each is a sum of three waves, lit from the left.
fn dunes(columns: i64, rows: i64, chance: &mut Chance) -> String {
    let mut picture = vec![vec![b' '; columns as usize]; rows as usize];
    let hills = 5;
    for hill in 0..hills {
        let waves: Vec<(f64, f64, f64)> = (1..=3)
            .map(|n| {
                (
                    chance.f64() * std::f64::consts::TAU,
                    f64::from(n) * (0.03 + chance.f64() * 0.05),
                    1.0 / f64::from(n),
                )
            })
            .collect();
        let height =
            |x: f64| waves.iter().map(|(at, pitch, size)| (at + x * pitch).sin() * size).sum::<f64>();
        let base = rows as f64 * (0.25 + 0.75 * f64::from(hill) / f64::from(hills));
        for x in 0..columns {
            let crest = base - height(x as f64) * rows as f64 * 0.07;
            let light = height(x as f64 + 1.0) - height(x as f64);
            let tone = 2.0 + f64::from(hill) * 1.2 + light * 14.0;
            let sand = TONES[(tone.max(1.0) as usize).min(TONES.len() - 1)];
            for row in picture.iter_mut().skip(crest.max(0.0) as usize) {
                row[x as usize] = sand;
            }
        }
    }
    let mut text = String::with_capacity(((columns + 1) * rows) as usize);
    for row in picture {
        text.extend(row.into_iter().map(char::from));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_size_that_was_asked_for_and_is_drawn_by_chance() {
        for (columns, rows) in [(1, 1), (7, 3), (MOST_COLUMNS, MOST_ROWS)] {
            let text = dunes(columns, rows, &mut Chance::new(1));
            assert_eq!(text.lines().count() as i64, rows);
            assert!(text.lines().all(|line| line.len() as i64 == columns));
        }
        assert_eq!(dunes(60, 20, &mut Chance::new(1)), dunes(60, 20, &mut Chance::new(1)));
        assert_ne!(dunes(60, 20, &mut Chance::new(1)), dunes(60, 20, &mut Chance::new(2)));
    }
}
