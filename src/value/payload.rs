//! Serialized values as servers hand them to each other: strings, and the seal behind them.
//!
//! For: FUNCTION DUMP and RESTORE. May touch: bytes.
//! Always: what is read is checked against the bytes that are there before anything is made for it.
//!
//! A string is its length and its bytes. The high two bits of a length's first byte tell its form: a number
//! of six bits, of fourteen, of 32 or 64 in the bytes behind it, or a special form: a small integer, or
//! packed bytes. The seal is a version, two bytes, and a checksum over everything before itself, eight; the
//! low bytes come first.

use crc::{CRC_64_REDIS, Crc};

use super::lzf;

const CHECKSUM: Crc<u64> = Crc::<u64>::new(&CRC_64_REDIS);
/// Bytes of the seal.
const SEAL: usize = 10;
/// Versions up to this are Redis's, before it and Valkey went different ways.
const COMMON: u16 = 11;
/// Valkey's.
const VALKEY: u16 = 80;

const SIX_BITS: u8 = 0b00;
const FOURTEEN_BITS: u8 = 0b01;
const WIDE: u8 = 0b10;
const WIDE_32: u8 = 0x80;
const WIDE_64: u8 = 0x81;
const INT_8: u8 = 0xC0;
const INT_16: u8 = 0xC1;
const INT_32: u8 = 0xC2;
const PACKED: u8 = 0xC3;

/// Puts the seal behind serialized bytes; `version` is that of their form.
pub fn seal(mut bytes: Vec<u8>, version: u16) -> Vec<u8> {
    bytes.extend_from_slice(&version.to_le_bytes());
    let checksum = CHECKSUM.checksum(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The bytes before the seal; `None` when it is broken, or of a version that is not known.
pub fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (inner, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
    let (version, checksum) = seal.split_at(2);
    let version = u16::from_le_bytes(version.try_into().ok()?);
    let checksum = u64::from_le_bytes(checksum.try_into().ok()?);
    let is_known = (1..=COMMON).contains(&version) || version == VALKEY;
    (is_known && CHECKSUM.checksum(&bytes[..bytes.len() - 8]) == checksum).then_some(inner)
}

/// Appends a string.
pub fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ ..0x40 => out.push(length as u8),
        length @ ..0x4000 => out.extend([FOURTEEN_BITS << 6 | (length >> 8) as u8, length as u8]),
        length => match u32::try_from(length) {
            Ok(length) => {
                out.push(WIDE_32);
                out.extend(length.to_be_bytes());
            }
            Err(_) => {
                out.push(WIDE_64);
                out.extend((length as u64).to_be_bytes());
            }
        },
    }
    out.extend_from_slice(bytes);
}

/// Takes a string from the front of the bytes; `None` when they hold none.
pub fn read_string(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    match *bytes.first()? {
        INT_8 => take_behind(bytes).map(|[byte]| (byte as i8).to_string().into_bytes()),
        INT_16 => take_behind(bytes).map(|word| i16::from_le_bytes(word).to_string().into_bytes()),
        INT_32 => take_behind(bytes).map(|word| i32::from_le_bytes(word).to_string().into_bytes()),
        PACKED => {
            take::<1>(bytes)?;
            let (packed, length) = (read_length(bytes)?, read_length(bytes)?);
            lzf::decompress(take_slice(bytes, packed)?, length)
        }
        _ => {
            let length = read_length(bytes)?;
            take_slice(bytes, length).map(<[u8]>::to_vec)
        }
    }
}

fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let [first] = take(bytes)?;
    match (first >> 6, first) {
        (SIX_BITS, _) => Some(first.into()),
        (FOURTEEN_BITS, _) => {
            let [second] = take(bytes)?;
            Some(usize::from(first & 0x3F) << 8 | usize::from(second))
        }
        (WIDE, WIDE_32) => take(bytes).and_then(|word| u32::from_be_bytes(word).try_into().ok()),
        (WIDE, WIDE_64) => take(bytes).and_then(|word| u64::from_be_bytes(word).try_into().ok()),
        _ => None,
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// What stands behind the first byte.
fn take_behind<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take::<1>(bytes)?;
    take(bytes)
}

fn take_slice<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An empty FUNCTION DUMP of Valkey 9.1.2.
    const EMPTY: &[u8] = b"P\x00\x92\xb1\x95\xd1\x91-\xc5.";

    #[test]
    fn the_seal_is_that_of_other_servers() {
        assert_eq!(unseal(EMPTY), Some(&b""[..]));
        assert_eq!(seal(Vec::new(), VALKEY), EMPTY);
        for version in [1, COMMON, VALKEY] {
            assert_eq!(unseal(&seal(b"x".to_vec(), version)), Some(&b"x"[..]));
        }
        for version in [0, COMMON + 1, VALKEY - 1, VALKEY + 1, u16::MAX] {
            assert_eq!(unseal(&seal(b"x".to_vec(), version)), None);
        }
        assert_eq!(unseal(b""), None);
        assert_eq!(unseal(&EMPTY[1..]), None);
    }

    #[test]
    fn every_form_of_a_string_is_read() {
        let read = |bytes: &[u8]| {
            let mut rest = bytes;
            read_string(&mut rest).map(|text| (String::from_utf8_lossy(&text).into_owned(), rest.len()))
        };
        let found = |text: &str, left| Some((text.to_owned(), left));
        assert_eq!(read(b"\x03abcd"), found("abc", 1));
        assert_eq!(read(b"\x40\x03abc"), found("abc", 0));
        assert_eq!(read(b"\x80\0\0\0\x03abc"), found("abc", 0));
        assert_eq!(read(b"\x81\0\0\0\0\0\0\0\x03abc"), found("abc", 0));
        assert_eq!(read(b"\xc0\xff"), found("-1", 0));
        assert_eq!(read(b"\xc1\x00\x80"), found("-32768", 0));
        assert_eq!(read(b"\xc2\xff\xff\xff\x7f"), found("2147483647", 0));
        assert_eq!(read(b"\xc3\x04\x02\x01abx"), None);
        assert_eq!(read(b"\xc3\x03\x02\x01abx"), found("ab", 1));
        for broken in
            [&b""[..], b"\x03ab", b"\x82abc", b"\xc4", b"\xc1\0", b"\x81\xff\xff\xff\xff\xff\xff\xff\xffa"]
        {
            assert_eq!(read(broken), None);
        }
    }

    proptest! {
        #[test]
        fn a_string_is_read_as_it_was_written(
            length in prop::sample::select(vec![0usize, 1, 63, 64, 16_383, 16_384, 70_000]),
            byte: u8,
        ) {
            let text = vec![byte; length];
            let mut bytes = Vec::new();
            write_string(&mut bytes, &text);
            let mut rest = &bytes[..];
            prop_assert_eq!(read_string(&mut rest), Some(text));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..60), first in 0xBFu8..=0xC4) {
            let bytes = [vec![first], bytes].concat();
            let mut rest = &bytes[..];
            while read_string(&mut rest).is_some() {}
            let _ = unseal(&bytes);
        }
    }
}
