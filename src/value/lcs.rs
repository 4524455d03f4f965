//! The longest common subsequence of two strings.
//! For: the answers of LCS: its length, its bytes, and where its runs lie in both strings. May touch: bytes
//! only.
//! Always: among equally long subsequences the choice is fixed: matched from the end, and where both ways are
//! equally good, the second string gives up a byte first.
//!
//! Lengths need only one row of the classic table. Going back over it needs one bit per cell (which
//! neighbour was longer), so tracing takes a 32nd of the memory that the limit speaks of.

/// Strings of this many bytes or more are refused.
pub const MAX_LEN: usize = u32::MAX as usize - 1;

/// What one cell of the table is charged against the memory limit, in bytes.
const CELL_BYTES: u128 = 4;

/// Why two strings are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LcsError {
    /// A string has [`MAX_LEN`] bytes or more.
    TooLong,
    /// The table would exceed the limit, or the memory there is.
    TooMuchMemory,
}

/// A run of bytes that both strings have in common. Positions are inclusive, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// First and last position in the first string.
    pub a: (usize, usize),
    /// First and last position in the second string.
    pub b: (usize, usize),
}

impl Match {
    /// Bytes in the run, at least one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.a.1 - self.a.0 + 1
    }
}

/// A longest common subsequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lcs {
    /// Its bytes.
    pub text: Vec<u8>,
    /// Its runs, from the end of the strings to their start.
    pub matches: Vec<Match>,
}

/// The length of the longest common subsequence, if the full table stays within `limit_bytes`.
pub fn length(a: &[u8], b: &[u8], limit_bytes: u64) -> Result<usize, LcsError> {
    check(a, b, limit_bytes)?;
    let mut row = Row::new(b.len())?;
    for byte in a {
        row.advance(*byte, b, |_| {});
    }
    Ok(row.last())
}

/// The longest common subsequence with those of its runs that have at least `min_match_len` bytes (0 and 1
/// mean all), if the full table stays within `limit_bytes`.
pub fn trace(a: &[u8], b: &[u8], min_match_len: usize, limit_bytes: u64) -> Result<Lcs, LcsError> {
    check(a, b, limit_bytes)?;
    let mut row = Row::new(b.len())?;
    let mut shorter_a = BitTable::new(a.len(), b.len())?;
    for (i, byte) in a.iter().enumerate() {
        row.advance(*byte, b, |j| shorter_a.set(i, j));
    }
    let mut text = Vec::with_capacity(row.last());
    let mut matches = Vec::new();
    let mut run: Option<Match> = None;
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            text.push(a[i]);
            let run = run.get_or_insert(Match { a: (i, i), b: (j, j) });
            (run.a.0, run.b.0) = (i, j);
            continue;
        }
        matches.extend(run.take());
        if shorter_a.has(i - 1, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    matches.extend(run);
    matches.retain(|run| run.len() >= min_match_len);
    debug_assert_eq!(text.len(), row.last());
    text.reverse();
    Ok(Lcs { text, matches })
}

fn check(a: &[u8], b: &[u8], limit_bytes: u64) -> Result<(), LcsError> {
    if a.len() >= MAX_LEN || b.len() >= MAX_LEN {
        return Err(LcsError::TooLong);
    }
    let cells = (a.len() as u128 + 1) * (b.len() as u128 + 1);
    if cells * CELL_BYTES > u128::from(limit_bytes) { Err(LcsError::TooMuchMemory) } else { Ok(()) }
}

/// One row of the table: the length of the longest common subsequence of the part of `a` seen so far and each
/// start of `b`.
struct Row(Vec<u32>);

impl Row {
    fn new(b_len: usize) -> Result<Row, LcsError> {
        zeros(b_len + 1).map(Row)
    }

    /// Moves on by one byte of `a`. Calls `on_shorter_a` with each position of `b` whose best subsequence
    /// does without both that byte and this one of `a`, and is strictly longer without the byte of `a` than
    /// without the one of `b`.
    fn advance(&mut self, byte: u8, b: &[u8], mut on_shorter_a: impl FnMut(usize)) {
        let (mut diagonal, mut left) = (0, 0);
        for (j, (cell, other)) in self.0[1..].iter_mut().zip(b).enumerate() {
            let above = *cell;
            if byte == *other {
                left = diagonal + 1;
            } else if above > left {
                on_shorter_a(j);
                left = above;
            }
            *cell = left;
            diagonal = above;
        }
    }

    fn last(&self) -> usize {
        self.0[self.0.len() - 1] as usize
    }
}

/// One bit for each pair of a byte of `a` and a byte of `b`.
struct BitTable {
    words: Vec<u64>,
    words_per_row: usize,
}

impl BitTable {
    fn new(rows: usize, columns: usize) -> Result<BitTable, LcsError> {
        let words_per_row = columns.div_ceil(64);
        Ok(BitTable { words: zeros(rows * words_per_row)?, words_per_row })
    }

    fn set(&mut self, row: usize, column: usize) {
        self.words[row * self.words_per_row + column / 64] |= 1 << (column % 64);
    }

    fn has(&self, row: usize, column: usize) -> bool {
        self.words[row * self.words_per_row + column / 64] >> (column % 64) & 1 == 1
    }
}

fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>, LcsError> {
    let mut items = Vec::new();
    items.try_reserve_exact(len).map_err(|_| LcsError::TooMuchMemory)?;
    items.resize(len, T::default());
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT_BYTES: u64 = 512 << 20;

    /// Two strings, the shortest run wanted, and what a real server says: length, subsequence, then each run
    /// as start and end in the first string, start and end in the second, length.
    #[rustfmt::skip]
    const RECORDED: &[(&str, &str, usize, &str)] = &[
        ("", "", 2, "0 "),
        ("", "bcbbaaa", 3, "0 "),
        ("cbddcaddaccdcdcabb", "bbcddbbdabdbddabaccaccaabcbcbabcdaab", 3, "14 bddaddaccccabb 8,10,16,18,3"),
        ("ddbdd", "dadd", 1, "3 ddd 3,4,2,3,2 1,1,0,0,1"),
        ("beddcabebddccaacabcceeec", "eacd", 3, "3 eac"),
        ("aaaaaaaaaaaaaa", "aaaaaaaaa", 0, "9 aaaaaaaaa 5,13,0,8,9"),
        ("aaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 2, "9 aaaaaaaaa 0,8,40,48,9"),
        ("", "aaaaaaaaaaaaaaaaaaaaa", 3, "0 "),
        ("aaaaaaaaaaaaaaa", "aaaaaaaaaaaa", 3, "12 aaaaaaaaaaaa 3,14,0,11,12"),
        ("aaa", "aaaaaaaa", 3, "3 aaa 0,2,5,7,3"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaa", "aaa", 0, "3 aaa 23,25,0,2,3"),
        ("aaabbacb", "bbbacb", 4, "5 bbacb 3,7,1,5,5"),
        ("aac", "aacbcccabcbbabaac", 0, "3 aac 0,2,14,16,3"),
        ("abbbbaab", "aa", 3, "2 aa"),
        ("aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa", 3, "16 aaaaaaaaaaaaaaaa 0,15,4,19,16"),
        ("cd", "bdbbabbdbadccaa", 0, "1 d 1,1,10,10,1"),
        ("e", "abeceecbddcdaaaebdcaaaceabecaceaaacecbeddeebadbdcebaaabc", 0, "1 e 0,0,49,49,1"),
        ("dab", "cbeeadc", 1, "1 b 2,2,1,1,1"),
        ("aaaaaaaaaaaaaaaaaa", "aaaaaa", 2, "6 aaaaaa 12,17,0,5,6"),
        ("aaa", "aaaaaaaaaaaaaaaaaaaaa", 1, "3 aaa 0,2,18,20,3"),
        ("adcd", "ddabbacaaabbc", 1, "2 dd 3,3,1,1,1 1,1,0,0,1"),
        ("aacabbbc", "bbcbccabaaccccb", 4, "4 bbbc"),
        ("aaaa", "aaa", 3, "3 aaa 1,3,0,2,3"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaa", 4, "10 aaaaaaaaaa 14,23,0,9,10"),
        ("abcacbcbcac", "dabadcbbddaaadddbbbaabbbdcad", 4, "8 abacbbac"),
        ("", "babbcbbbccabbcacabaacbbacbccc", 0, "0 "),
        ("bddd", "bbcbbaaa", 3, "1 b"),
        ("babbaaabababbbbaabaab", "bbaaaaa", 1, "7 bbaaaaa 18,19,5,6,2 15,16,3,4,2 9,10,1,2,2 7,7,0,0,1"),
        ("edddbcecddbeeacacbe", "dceeeceeedcaeeaaaa", 2, "9 dceceecae 14,15,10,11,2 11,12,6,7,2 6,7,4,5,2"),
        ("", "aca", 2, "0 "),
        ("bccccc", "a", 3, "0 "),
        ("bbbcb", "acccbbbbacaaccbbccaaacbaccbc", 2, "5 bbbcb 3,4,25,26,2 0,1,14,15,2"),
        ("cbaabaabbccacccaab", "", 0, "0 "),
        ("aaaaaaaabbaabaaaabaabbbbaaaabbaabbaaabbaababaababbbaaabbb", "", 2, "0 "),
        ("ab", "abbaaabbabaabbbaaabbb", 2, "2 ab"),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaa", 3, "9 aaaaaaaaa 22,30,0,8,9"),
        ("aeeaaaeccccbeab", "ae", 1, "2 ae 12,12,1,1,1 5,5,0,0,1"),
        ("ababaaabbaabbbbabaabaabbbbbaa", "aba", 0, "3 aba 28,28,2,2,1 26,26,1,1,1 21,21,0,0,1"),
        ("abaeeeaeadbcbedddecccdccbbabdeebeadbacdabec", "ecb", 3, "3 ecb"),
        ("aaaaaa", "aaaaaaaaaa", 0, "6 aaaaaa 0,5,4,9,6"),
        ("c", "cabccacccabbaaabccbccbcbaaaccaaccbaababbcbcccccbcccb", 2, "1 c"),
        ("bbaa", "", 3, "0 "),
        ("aaaaaaaaaaaaaaa", "", 1, "0 "),
        ("abaabbbcdcadbacdd", "baabdacaaddbcacdadcacdacbdbcddaccdcd", 4, "15 baabbcdcadbacdd"),
        ("aaaaaaaaaa", "aa", 4, "2 aa"),
        ("caacbcbacbc", "", 0, "0 "),
        ("abbbaabaababaabba", "ba", 1, "2 ba 15,16,0,1,2"),
        ("ca", "becdaeeccbabdacedceeacbaadcaabdccddebdccedeae", 3, "2 ca"),
        ("aaaaabbbabbaaaaabbbabaabbaabaabba", "a", 3, "1 a"),
        ("ababababbaaaaabaaaaababbabaabaaabbbaababbbaab", "", 0, "0 "),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaa", 2, "3 aaa 27,29,0,2,3"),
        ("cbaaaccacbbbabbbccbbacca", "bb", 2, "2 bb 18,19,0,1,2"),
    ];

    fn described(a: &[u8], b: &[u8], min_match_len: usize) -> String {
        let lcs = trace(a, b, min_match_len, LIMIT_BYTES).expect("small");
        let mut text = format!("{} {}", lcs.text.len(), String::from_utf8_lossy(&lcs.text));
        for run in lcs.matches {
            text += &format!(" {},{},{},{},{}", run.a.0, run.a.1, run.b.0, run.b.1, run.len());
        }
        text
    }

    #[test]
    fn the_choice_of_path_is_the_one_real_servers_make() {
        for (a, b, min_match_len, wanted) in RECORDED {
            assert_eq!(described(a.as_bytes(), b.as_bytes(), *min_match_len), *wanted, "{a} {b}");
        }
    }

    #[test]
    fn a_table_as_large_as_the_limit_is_allowed_and_no_larger() {
        let (a, b) = ([b'x'; 511], [b'x'; 512]);
        assert_eq!(length(&a, &b[..511], 1 << 20), Ok(511));
        assert_eq!(length(&a, &b, 1 << 20), Err(LcsError::TooMuchMemory));
        assert_eq!(length(&b, &a, 1 << 20), Err(LcsError::TooMuchMemory));
        assert_eq!(trace(&b, &a, 0, 1 << 20), Err(LcsError::TooMuchMemory));
        assert_eq!(length(&[b'x'; 262_143], b"", 1 << 20), Ok(0));
        assert_eq!(length(b"", &[b'x'; 262_144], 1 << 20), Err(LcsError::TooMuchMemory));
    }

    #[test]
    fn long_rows_use_every_bit_of_their_words() {
        let a: Vec<u8> = (0..200u32).map(|at| (at * at % 7) as u8).collect();
        let b: Vec<u8> = (0..130u32).map(|at| (at * 5 % 11) as u8).collect();
        let lcs = trace(&a, &b, 0, LIMIT_BYTES).expect("small");
        assert_eq!(length(&a, &b, LIMIT_BYTES), Ok(lcs.text.len()));
    }

    /// The table as it is usually written, with the walk back over it.
    fn naive(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j, mut pairs) = (a.len(), b.len(), vec![]);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                pairs.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        pairs
    }

    proptest! {
        #[test]
        fn runs_are_those_of_the_full_table(
            a in "[ab]{0,80}", b in "[abc]{0,80}", min_match_len in 0usize..4,
        ) {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let pairs = naive(a, b);
            let all = trace(a, b, 0, LIMIT_BYTES).expect("small");
            prop_assert_eq!(length(a, b, LIMIT_BYTES), Ok(pairs.len()));
            let expanded: Vec<_> = all.matches.iter().flat_map(|run| {
                (0..run.len()).rev().map(|at| (run.a.0 + at, run.b.0 + at))
            }).collect();
            prop_assert_eq!(&expanded, &pairs);
            let text: Vec<u8> = pairs.iter().rev().map(|(i, _)| a[*i]).collect();
            prop_assert_eq!(&all.text, &text);
            let long = trace(a, b, min_match_len, LIMIT_BYTES).expect("small");
            let wanted: Vec<_> = all.matches.into_iter().filter(|run| run.len() >= min_match_len).collect();
            prop_assert_eq!(long, Lcs { text, matches: wanted });
        }
    }
}
