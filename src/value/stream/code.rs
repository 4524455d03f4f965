//! How numbers and texts lie in a block.
//!
//! For: encoding and decoding, and what the same would take in Redis's listpacks, by which the size of a node
//! is measured. May touch: bytes only.
//! Always: what was encoded is decoded to the same bytes; a text that is an integer in its canonical spelling
//! takes the integer's form.
//!
//! | first byte | then | |
//! |---|---|---|
//! | `0xxxxxxx` | | integer 0 to 127 |
//! | `10xxxxxx` | text | of up to 63 bytes |
//! | `110xxxxx` | 1 byte | integer of 13 bits |
//! | `1110xxxx` | 1 byte, text | of up to 4,095 bytes |
//! | `F0` | 4 bytes, text | longer |
//! | `F1` to `F4` | 2, 3, 4, 8 bytes | integer |

use super::super::number::parse_i64;

/// Longest text of an `i64`.
const DIGITS_MAX: usize = 20;

/// A field or value as it lies in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A text that is this integer in its canonical spelling.
    Int(i64),
    /// Any other text.
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// Whether the text is `other`.
    pub fn eq_bytes(self, other: &[u8]) -> bool {
        match self {
            Item::Bytes(bytes) => bytes == other,
            Item::Int(int) => itoa::Buffer::new().format(int).as_bytes() == other,
        }
    }

    /// The text; an integer's digits go to `digits`.
    pub fn bytes<'b>(self, digits: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Item::Bytes(bytes) => bytes,
            Item::Int(int) => {
                digits.clear();
                digits.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
                digits
            }
        }
    }
}

/// Appends a text; answers what it would take in a listpack.
pub fn push_text(out: &mut Vec<u8>, text: &[u8]) -> usize {
    if let [first, ..] = text
        && (first.is_ascii_digit() || *first == b'-')
        && text.len() <= DIGITS_MAX
        && let Some(int) = parse_i64(text)
    {
        return push_int(out, int);
    }
    let from = out.len();
    match text.len() {
        len @ 0..64 => out.push(0x80 | len as u8),
        len @ 64..4096 => out.extend_from_slice(&[0xE0 | (len >> 8) as u8, len as u8]),
        len => {
            out.push(0xF0);
            out.extend_from_slice(&(len as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(text);
    with_back_length(out.len() - from)
}

fn push_int(out: &mut Vec<u8>, int: i64) -> usize {
    let bytes = int.to_le_bytes();
    let from = out.len();
    match int_len(int) {
        1 => out.push(int as u8),
        2 => out.extend_from_slice(&[0xC0 | (int >> 8) as u8 & 0x1F, int as u8]),
        3 => out.extend_from_slice(&[0xF1, bytes[0], bytes[1]]),
        4 => out.extend_from_slice(&[0xF2, bytes[0], bytes[1], bytes[2]]),
        5 => out.extend_from_slice(&[0xF3, bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => {
            out.push(0xF4);
            out.extend_from_slice(&bytes);
        }
    }
    with_back_length(out.len() - from)
}

/// Bytes of an integer's form.
fn int_len(int: i64) -> usize {
    match int {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7FFF => 3,
        -0x80_0000..=0x7F_FFFF => 4,
        -0x8000_0000..=0x7FFF_FFFF => 5,
        _ => 9,
    }
}

/// What an integer takes in a listpack.
pub fn listpack_int(int: i64) -> usize {
    int_len(int) + 1
}

/// A listpack's element ends with its own length in groups of seven bits.
fn with_back_length(len: usize) -> usize {
    len + match len {
        0..=0x7F => 1,
        0x80..0x3FFF => 2,
        0x3FFF..0x1F_FFFF => 3,
        0x1F_FFFF..0xFFF_FFFF => 4,
        _ => 5,
    }
}

/// Reads the text at `*at` and passes it.
pub fn text<'a>(bytes: &'a [u8], at: &mut usize) -> Item<'a> {
    let tag = bytes[*at];
    let rest = &bytes[*at + 1..];
    let (head, len) = match tag {
        0..0x80 => return passed(at, 1, i64::from(tag)),
        0xC0..0xE0 => {
            let raw = (i64::from(tag & 0x1F) << 8) | i64::from(rest[0]);
            return passed(at, 2, (raw << 51) >> 51);
        }
        0xF1 => return passed(at, 3, i64::from(i16::from_le_bytes([rest[0], rest[1]]))),
        0xF2 => {
            let raw = i32::from_le_bytes([0, rest[0], rest[1], rest[2]]);
            return passed(at, 4, i64::from(raw >> 8));
        }
        0xF3 => return passed(at, 5, i64::from(i32::from_le_bytes(array(rest)))),
        0xF4 => return passed(at, 9, i64::from_le_bytes(array(rest))),
        0x80..0xC0 => (1, usize::from(tag & 0x3F)),
        0xE0..0xF0 => (2, (usize::from(tag & 0x0F) << 8) | usize::from(rest[0])),
        _ => (5, u32::from_le_bytes(array(rest)) as usize),
    };
    let start = *at + head;
    *at = start + len;
    Item::Bytes(&bytes[start..start + len])
}

fn passed(at: &mut usize, len: usize, int: i64) -> Item<'static> {
    *at += len;
    Item::Int(int)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("an encoded integer is complete")
}

/// Appends a number in groups of seven bits, lowest first.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads such a number at `*at` and passes it.
pub fn number(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// Folds a difference so that small ones, whatever their sign, are small numbers.
pub fn fold(difference: u64) -> u64 {
    let signed = difference as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

/// Undoes [`fold`].
pub fn unfold(folded: u64) -> u64 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        let mut texts: Vec<Vec<u8>> = ["", "a", "-", "-0", "007", "1.5", "12345678901234567890", "é"]
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        for bits in 0..64 {
            for near in -2i64..=2 {
                texts.push((1i64 << bits).wrapping_add(near).to_string().into_bytes());
                texts.push((-(1i128 << bits) + i128::from(near)).to_string().into_bytes());
            }
        }
        for len in [63, 64, 65, 127, 128, 4094, 4095, 4096, 70_000] {
            texts.push(vec![b'x'; len]);
        }
        let mut bytes = Vec::new();
        texts.iter().for_each(|text| drop(push_text(&mut bytes, text)));
        let (mut at, mut digits) = (0, Vec::new());
        for expected in &texts {
            let item = text(&bytes, &mut at);
            assert!(item.eq_bytes(expected));
            assert_eq!(item.bytes(&mut digits), &expected[..]);
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        let mut bytes = Vec::new();
        let numbers: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1, u64::MAX >> bit]).collect();
        numbers.iter().for_each(|&number| push_number(&mut bytes, fold(number)));
        let mut at = 0;
        assert!(numbers.iter().all(|&expected| unfold(number(&bytes, &mut at)) == expected));
    }

    #[test]
    fn what_a_listpack_takes_counts_the_length_at_its_end() {
        let mut out = Vec::new();
        let cases = [(0, 2), (63, 65), (64, 67), (126, 130), (127, 131), (4095, 4099), (16_378, 16_385)];
        for (len, expected) in cases {
            assert_eq!(push_text(&mut out, &vec![b'x'; len]), expected, "{len} bytes");
        }
        let cases = [("127", 2), ("128", 3), ("-4096", 3), ("4096", 4), ("32768", 5), ("8388608", 6)];
        for (text, expected) in cases {
            assert_eq!(push_text(&mut out, text.as_bytes()), expected, "{text}");
        }
        assert_eq!(push_text(&mut out, b"2147483648"), 10);
    }
}
