//! Which clients CLIENT LIST and CLIENT KILL mean.
//!
//! For: parsing their filters and matching clients against them. May touch: the registry's clients.
//! Always: of an option given twice the last counts, of ID and NOT-ID all; parsing looks at no client.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::client::registry::{CAPA_REDIRECT, Labels};
use crate::client::tracking::Mode;
use crate::client::{Client, ClientKind, Clients};
use crate::command::Cursor;
use crate::fault::Fault;
use crate::resp::parse_i64;

/// Every letter a client's flags may have, now or in a server that clusters, replicates or tracks.
const FLAG_LETTERS: &[u8] = b"bcdeirtuxABEIMNOPRSTU";
/// Every letter a client's capabilities may have.
const CAPA_LETTERS: &[u8] = b"r";
/// A database's index beyond these is no integer to a filter; within, it may still be out of range.
const INT32: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// Letters of a client's flags, as its line shows them; `N` for none.
pub fn flags_of(client: &Client) -> Cow<'static, str> {
    let tracker = client.tracker.lock().clone();
    let is_bcast = tracker.as_ref().is_some_and(|it| it.mode.contains(Mode::BCAST));
    let is_broken = tracker.as_ref().is_some_and(|it| it.is_broken.load(Ordering::Relaxed));
    let flags = [
        (client.monitors.load(Ordering::Relaxed), 'O'),
        (client.kind() == ClientKind::Pubsub, 'P'),
        (client.in_multi.load(Ordering::Relaxed), 'x'),
        (client.paused.load(Ordering::Relaxed) || client.is_blocked(), 'b'),
        (tracker.is_some(), 't'),
        (is_broken, 'R'),
        (is_bcast, 'B'),
        (client.killed.load(Ordering::Relaxed), 'A'),
        (client.addr.ip().is_none(), 'U'),
        (client.no_evict.load(Ordering::Relaxed), 'e'),
        (client.no_touch.load(Ordering::Relaxed), 'T'),
        (client.import_source.load(Ordering::Relaxed), 'I'),
    ];
    let letters: String = flags.iter().filter(|(is_set, _)| *is_set).map(|&(_, letter)| letter).collect();
    if letters.is_empty() { "N".into() } else { letters.into() }
}

/// Letters of a client's capabilities.
pub fn capa_of(client: &Client) -> &'static str {
    if client.capa.load(Ordering::Relaxed) & CAPA_REDIRECT != 0 { "r" } else { "" }
}

/// A filter of clients.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// All of these hold for a client that is meant.
    wanted: Terms<'a>,
    /// None of these does.
    unwanted: Terms<'a>,
    /// Connected for at least that long.
    max_age_s: u64,
    /// Silent for at least that long.
    idle_s: u64,
    /// Whether SKIPME was given, and what it said.
    pub skip_me: Option<bool>,
}

/// What is asked of a client; `None` asks nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Terms<'a> {
    ids: Option<Vec<u64>>,
    kind: Option<ClientKind>,
    user: Option<&'a [u8]>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    lib_name: Option<&'a [u8]>,
    lib_ver: Option<&'a [u8]>,
    flags: Option<&'a [u8]>,
    capa: Option<&'a [u8]>,
    db: Option<usize>,
}

impl<'a> Filter<'a> {
    /// Parses the options of a command from the cursor to its end.
    ///
    /// # Errors
    /// [`Fault::SYNTAX`] for an unknown option or one without its value, and what is wrong with a value.
    pub fn parse(mut cursor: Cursor<'a>, databases: usize) -> Result<Filter<'a>, Fault> {
        let mut filter = Filter::default();
        while let Some(option) = cursor.next() {
            let option = option.to_ascii_lowercase();
            match option.as_slice() {
                b"maxage" => filter.max_age_s = seconds(&mut cursor, "maxage")?,
                b"idle" => filter.idle_s = seconds(&mut cursor, "idle")?,
                b"skipme" => filter.skip_me = Some(yes_or_no(&mut cursor)?),
                _ => match option.strip_prefix(b"not-") {
                    None => filter.wanted.parse(&option, &mut cursor, databases, false)?,
                    Some(option) => filter.unwanted.parse(option, &mut cursor, databases, true)?,
                },
            }
        }
        Ok(filter)
    }

    /// The filter of a client's address alone.
    pub fn of_addr(addr: &'a [u8]) -> Filter<'a> {
        Filter { wanted: Terms { addr: Some(addr), ..Terms::default() }, ..Filter::default() }
    }

    /// Whether a client is meant at that monotonic time.
    pub fn means(&self, client: &Client, now_ns: u64) -> bool {
        const SECOND_NS: u64 = 1_000_000_000;
        let age_s = now_ns.saturating_sub(client.since_ns) / SECOND_NS;
        let idle_s = now_ns.saturating_sub(client.active_ns.load(Ordering::Relaxed)) / SECOND_NS;
        if age_s < self.max_age_s || idle_s < self.idle_s {
            return false;
        }
        let labels = client.labels.lock();
        self.wanted.hold(client, &labels).all(|holds| holds)
            && !self.unwanted.hold(client, &labels).any(|holds| holds)
    }

    /// Those who are meant, in order of their ids, less those who are being closed. SKIPME is about `me`, the
    /// client that asks; `skips_me`: what holds without it.
    pub fn choose(&self, clients: &Clients, me: u64, now_ns: u64, skips_me: bool) -> Vec<Arc<Client>> {
        let mut found = match &self.wanted.ids {
            Some(ids) => ids.iter().filter_map(|&id| clients.find(id)).collect(),
            None => clients.all(),
        };
        let skips_me = self.skip_me.unwrap_or(skips_me);
        found.retain(|client| {
            let is_gone = client.killed.load(Ordering::Acquire) || (skips_me && client.id == me);
            !is_gone && self.means(client, now_ns)
        });
        found
    }
}

impl<'a> Terms<'a> {
    /// Parses the option of that lower-case name, less its `not-`.
    fn parse(
        &mut self,
        option: &[u8],
        cursor: &mut Cursor<'a>,
        databases: usize,
        not: bool,
    ) -> Result<(), Fault> {
        match option {
            b"id" => add_ids(self.ids.get_or_insert_default(), cursor)?,
            b"type" => {
                let name = cursor.need()?;
                self.kind = Some(ClientKind::named(name).ok_or_else(|| Fault::client_type(name))?);
            }
            b"user" => {
                let user = cursor.need()?;
                if user != b"default" {
                    return Err(Fault::no_such_user(user));
                }
                self.user = Some(user);
            }
            b"addr" => self.addr = Some(cursor.need()?),
            b"laddr" => self.laddr = Some(cursor.need()?),
            b"ip" => self.ip = Some(cursor.need()?),
            b"name" => self.name = Some(cursor.need()?),
            b"lib-name" => self.lib_name = Some(cursor.need()?),
            b"lib-ver" => self.lib_ver = Some(cursor.need()?),
            b"flags" => {
                let filter = if not { "NOT-FLAGS" } else { "provided" };
                self.flags = Some(letters(cursor, FLAG_LETTERS, "flags", filter)?);
            }
            b"capa" => {
                let filter = if not { "NOT-CAPA" } else { "provided" };
                self.capa = Some(letters(cursor, CAPA_LETTERS, "capa", filter)?);
            }
            b"db" => self.db = Some(database(cursor, if not { "NOT-DB" } else { "DB" }, databases)?),
            _ => return Err(Fault::SYNTAX),
        }
        Ok(())
    }

    /// For each thing that is asked, whether it holds.
    fn hold(&self, client: &Client, labels: &Labels) -> impl Iterator<Item = bool> {
        // What a client has not said about itself matches no text, not even the empty one.
        let says = |term: Option<&[u8]>, said: &[u8]| term.map(|term| !said.is_empty() && term == said);
        let has_all = |letters: &[u8], of: &str| letters.iter().all(|letter| of.as_bytes().contains(letter));
        [
            self.ids.as_ref().map(|ids| ids.binary_search(&client.id).is_ok()),
            self.kind.map(|kind| kind == client.kind()),
            says(self.user, &labels.user),
            self.addr.map(|addr| addr == client.addr.to_string().as_bytes()),
            self.laddr.map(|addr| addr == client.laddr.to_string().as_bytes()),
            self.ip.map(|ip| client.addr.ip().is_some_and(|at| ip == at.to_string().as_bytes())),
            says(self.name, &labels.name),
            says(self.lib_name, &labels.lib_name),
            says(self.lib_ver, &labels.lib_ver),
            self.flags.map(|flags| has_all(flags, &flags_of(client))),
            self.capa.map(|capa| has_all(capa, capa_of(client))),
            self.db.map(|db| db == client.db.load(Ordering::Relaxed)),
        ]
        .into_iter()
        .flatten()
    }
}

/// Passes all integers that follow. Keeps `ids` sorted, each once.
fn add_ids(ids: &mut Vec<u64>, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    while let Some(id) = cursor.peek().and_then(parse_i64) {
        if id < 1 {
            return Err(Fault::not_above_zero("client-id"));
        }
        ids.push(id as u64);
        cursor.next();
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(())
}

fn seconds(cursor: &mut Cursor<'_>, name: &str) -> Result<u64, Fault> {
    let seconds = parse_i64(cursor.need()?).ok_or_else(|| Fault::not_an_integer(name))?;
    u64::try_from(seconds).ok().filter(|&s| s > 0).ok_or_else(|| Fault::not_above_zero(name))
}

fn yes_or_no(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    if cursor.word("yes") {
        return Ok(true);
    }
    if cursor.word("no") { Ok(false) } else { Err(Fault::SYNTAX) }
}

fn letters<'a>(cursor: &mut Cursor<'a>, known: &[u8], what: &str, filter: &str) -> Result<&'a [u8], Fault> {
    let letters = cursor.need()?;
    let is_known = letters.iter().all(|letter| known.contains(letter));
    if is_known { Ok(letters) } else { Err(Fault::filter_letters(what, filter, letters)) }
}

fn database(cursor: &mut Cursor<'_>, name: &str, databases: usize) -> Result<usize, Fault> {
    let db = parse_i64(cursor.need()?)
        .filter(|db| INT32.contains(db))
        .ok_or_else(|| Fault::not_an_integer(name))?;
    let db = usize::try_from(db).ok().filter(|&db| db < databases);
    db.ok_or_else(|| Fault::filter_database(name, databases))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::registry::Address;
    use crate::resp::OwnedArgs;

    const SECOND_NS: u64 = 1_000_000_000;

    fn client(id: u64) -> Client {
        let addr = Address::Ip(([127, 0, 0, 1], 5000 + id as u16).into());
        let client = Client::new(id, 0, 9, addr, Address::Ip(([127, 0, 0, 1], 6379).into()), 0);
        client.labels.lock().name = format!("c{id}").into_bytes();
        client.db.store(id as usize % 3, Ordering::Relaxed);
        client.no_touch.store(id.is_multiple_of(2), Ordering::Relaxed);
        client
    }

    /// Ids of those of clients 1 to 4 who are meant ten seconds after they came, or the error.
    fn meant(words: &str) -> Result<Vec<u64>, String> {
        let args: OwnedArgs = words.split(' ').map(str::as_bytes).collect();
        let filter = Filter::parse(Cursor::new(args.as_args(), 0), 16);
        let filter = filter.map_err(|fault| String::from_utf8_lossy(fault.text()).into_owned())?;
        Ok((1..=4).filter(|&id| filter.means(&client(id), 10 * SECOND_NS)).collect())
    }

    #[test]
    fn filters_choose_by_every_property() {
        for (words, ids) in [
            ("ID 3 1 9", vec![1, 3]),
            ("id 1 ID 2", vec![1, 2]),
            ("NAME c2 ID", vec![]),
            ("NOT-ID", vec![1, 2, 3, 4]),
            ("NOT-ID 1 NOT-ID 4", vec![2, 3]),
            ("TYPE pubsub TYPE normal", vec![1, 2, 3, 4]),
            ("NOT-TYPE NORMAL", vec![]),
            ("USER default", vec![1, 2, 3, 4]),
            ("ADDR 127.0.0.1:5002", vec![2]),
            ("NOT-ADDR 127.0.0.1:5002", vec![1, 3, 4]),
            ("LADDR 127.0.0.1:6379 IP 127.0.0.1", vec![1, 2, 3, 4]),
            ("NOT-IP 127.0.0.1", vec![]),
            ("NAME c1 NAME c3", vec![3]),
            ("NAME C1", vec![]),
            ("LIB-NAME x", vec![]),
            ("NOT-LIB-VER x", vec![1, 2, 3, 4]),
            ("FLAGS T", vec![2, 4]),
            ("FLAGS NT", vec![]),
            ("NOT-FLAGS NT", vec![1, 2, 3, 4]),
            ("NOT-FLAGS N", vec![2, 4]),
            ("CAPA r", vec![]),
            ("DB 0", vec![3]),
            ("NOT-DB 1", vec![2, 3]),
            ("MAXAGE 10 IDLE 10", vec![1, 2, 3, 4]),
            ("MAXAGE 11", vec![]),
            ("IDLE 11", vec![]),
        ] {
            assert_eq!(meant(words), Ok(ids), "{words}");
        }
    }

    #[test]
    fn filters_say_what_is_wrong_with_them() {
        for (words, text) in [
            ("NOPE 1", "ERR syntax error"),
            ("ID x", "ERR syntax error"),
            ("NAME", "ERR syntax error"),
            ("NOT-IDLE 1", "ERR syntax error"),
            ("NOT-SKIPME yes", "ERR syntax error"),
            ("SKIPME maybe", "ERR syntax error"),
            ("ID 0", "ERR client-id should be greater than 0"),
            ("TYPE nope", "ERR Unknown client type 'nope'"),
            ("NOT-USER nope", "ERR No such user 'nope'"),
            ("MAXAGE x", "ERR maxage is not an integer or out of range"),
            ("IDLE 0", "ERR idle should be greater than 0"),
            ("FLAGS NQ", "ERR Unknown flags found in the provided filter: NQ"),
            ("NOT-CAPA q", "ERR Unknown capa found in the NOT-CAPA filter: q"),
            ("DB 16", "ERR DB number should be between 0 and 15"),
            ("NOT-DB 99999999999", "ERR NOT-DB is not an integer or out of range"),
        ] {
            assert_eq!(meant(words), Err(text.into()), "{words}");
        }
    }

    #[test]
    fn a_client_that_said_nothing_about_itself_matches_no_text() {
        let args: OwnedArgs = [&b"lib-name"[..], b""].into_iter().collect();
        let filter = Filter::parse(Cursor::new(args.as_args(), 0), 16).expect("it is well formed");
        assert!(!filter.means(&client(1), 0));
        let args: OwnedArgs = [&b"not-lib-name"[..], b"", b"flags", b""].into_iter().collect();
        let filter = Filter::parse(Cursor::new(args.as_args(), 0), 16).expect("it is well formed");
        assert!(filter.means(&client(1), 0));
    }

    fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let option = prop::sample::select(vec![
            "id", "type", "user", "addr", "name", "flags", "capa", "db", "ip", "maxage", "idle", "skipme",
            "lib-ver",
        ]);
        let value = prop_oneof![
            prop::sample::select(vec!["1", "2", "normal", "default", "T", "r", "yes", "no", "c1", "", "-1"])
                .prop_map(|word| word.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        let pair = (any::<bool>(), option, value).prop_map(|(not, option, value)| {
            let option = if not { format!("NOT-{option}") } else { option.to_owned() };
            vec![option.into_bytes(), value]
        });
        prop::collection::vec(pair, 0..6).prop_map(|pairs| pairs.concat())
    }

    proptest! {
        #[test]
        fn a_filter_is_the_conjunction_of_its_options(words in words()) {
            let whole: OwnedArgs = words.iter().map(Vec::as_slice).collect();
            let whole = whole.as_args();
            let pairs = words.chunks(2).map(|pair| pair.iter().map(Vec::as_slice).collect());
            let pairs: Vec<OwnedArgs> = pairs.collect();
            let parts = pairs.iter().map(|pair| Filter::parse(Cursor::new(pair.as_args(), 0), 16));
            let parts: Vec<_> = parts.collect();
            match Filter::parse(Cursor::new(whole, 0), 16) {
                Err(fault) => {
                    let first = parts.iter().find_map(|part| part.as_ref().err());
                    prop_assert_eq!(first, Some(&fault));
                }
                Ok(filter) => {
                    let names: Vec<_> = words.chunks(2).map(|w| w[0].to_ascii_lowercase()).collect();
                    // Of an option given twice the last counts, so only filters without such are
                    // conjunctions.
                    let is_once = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
                    for id in 1..=4 {
                        let client = client(id);
                        let all = parts.iter().flatten().all(|part| part.means(&client, 1));
                        prop_assert!(!is_once || filter.means(&client, 1) == all);
                    }
                }
            }
        }
    }
}
