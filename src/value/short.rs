//! Copying short texts.
//!
//! For: elements of collections, on their way into runs, nodes and replies. May touch: bytes only.
//! Always: exactly the text's bytes are written.

/// Copies a text to the beginning of `to`, which has room for it. Most texts are so short that a call for
/// copying takes longer than a few moves of constant size.
#[inline(always)]
pub fn copy(text: &[u8], to: &mut [u8]) {
    let to = &mut to[..text.len()];
    if !(ends::<16>(text, to) || ends::<8>(text, to) || quarters(text, to) || ends::<4>(text, to)) {
        copy_long(text, to);
    }
}

#[inline(never)]
fn copy_long(text: &[u8], to: &mut [u8]) {
    to.copy_from_slice(text);
}

/// Copies a text of `N` to twice `N` bytes as its first and its last `N`; says whether it was one.
#[inline(always)]
pub fn ends<const N: usize>(text: &[u8], to: &mut [u8]) -> bool {
    if !(N..=2 * N).contains(&text.len()) {
        return false;
    }
    let last = text.len() - N;
    to[..N].copy_from_slice(&text[..N]);
    to[last..text.len()].copy_from_slice(&text[last..]);
    true
}

/// Copies a text of 32 to 64 bytes as its first and its last two pieces of 16, for which no call is made;
/// says whether it was one.
#[inline(always)]
pub fn quarters(text: &[u8], to: &mut [u8]) -> bool {
    const PIECE: usize = 16;
    if !(2 * PIECE..=4 * PIECE).contains(&text.len()) {
        return false;
    }
    for at in [0, PIECE, text.len() - 2 * PIECE, text.len() - PIECE] {
        to[at..at + PIECE].copy_from_slice(&text[at..at + PIECE]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::copy;

    #[test]
    fn a_text_of_any_length_is_copied_and_nothing_beside_it() {
        let text: Vec<u8> = (0..100).collect();
        for len in 0..text.len() {
            let mut to = [0xff; 128];
            copy(&text[..len], &mut to);
            assert_eq!(to[..len], text[..len]);
            assert!(to[len..].iter().all(|&byte| byte == 0xff), "{len}");
        }
    }
}
