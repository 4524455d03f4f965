//! Words of random commands.
//!
//! For: whoever draws commands. May touch: chance only.
//! Always: what is drawn follows from the seed.

use ochre::clock::Chance;

/// Draws the words of commands. Few keys, so that commands meet.
pub struct Pick(pub Chance);

impl Pick {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    pub fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    pub fn key(&mut self) -> String {
        format!("k{}", self.below(12))
    }

    /// A key that mostly belongs to the family with this letter.
    pub fn key_of(&mut self, family: &str) -> String {
        if self.below(10) == 0 { self.key() } else { format!("{family}{}", self.below(6)) }
    }

    pub fn keys(&mut self) -> String {
        (0..=self.below(3)).map(|_| self.key()).collect::<Vec<_>>().join(" ")
    }

    pub fn value(&mut self) -> String {
        match self.below(6) {
            0 => "''".to_owned(),
            1 => "1.5".to_owned(),
            2 => "x".repeat(self.below(200) as usize + 1),
            3 => self.one(&["foo", "bar"]).to_owned(),
            _ => self.below(20).to_string(),
        }
    }

    pub fn pairs(&mut self) -> (u64, String) {
        let count = self.below(3) + 1;
        let pairs = (0..count).map(|_| format!("{} {}", self.key(), self.value()));
        (count, pairs.collect::<Vec<_>>().join(" "))
    }

    /// A lifetime, which may have passed, or nothing.
    pub fn lifetime(&mut self) -> String {
        match self.below(10) {
            0 => format!(" EX {}", self.below(4) + 1),
            1 | 2 => format!(" PX {}", self.below(3_000) + 1),
            3 => format!(" EXAT @@{}", self.below(5)),
            4 => format!(" PXAT @{}", self.below(3_000)),
            5 => " PXAT 1".to_owned(),
            _ => String::new(),
        }
    }

    pub fn expiry(&mut self, time: &str) -> String {
        let condition = self.one(&["", "", "", " NX", " XX", " GT", " LT", " XX GT", " lt"]);
        format!("{} {time}{condition}", self.key())
    }
}

/// Draws a command's arguments.
pub type Draw = fn(&mut Pick) -> String;
