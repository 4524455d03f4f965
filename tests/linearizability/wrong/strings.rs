//! Wrong servers of the world of single values.
//!
//! For: bugs of commands of several keys, of transactions and of whole databases. May touch: sockets.
//! Always: only what is named in [`Wrong`] is wrong.

use super::{GAP, listen, read_request, run};
use crate::rounds::{KEYS, ROUNDS};
use crate::search::World;
use crate::strings::{Answer, Op, Strings};
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// MSETNX lets go between looking and setting.
    MsetNx,
    /// RENAME lets go between taking the one key and setting the other.
    Rename,
    /// INCR lets go between reading and setting.
    Incr,
    /// EXEC lets go between looking at the watched key and running.
    Watch,
    /// EXEC lets go between its commands.
    Exec,
    /// SWAPDB exchanges one half of the keys, then the other.
    Swap,
}

fn start(wrong: Wrong) -> SocketAddr {
    let cells = Mutex::new(Strings::default());
    listen(move |_, stream| serve(stream, &cells, wrong))
}

fn serve(mut stream: TcpStream, cells: &Mutex<Strings>, wrong: Wrong) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut db = 0;
    let mut transaction = Transaction::default();
    loop {
        let words = read_request(&mut input)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let reply = match words[..] {
            ["SELECT", index] => {
                db = index.parse().expect("a database");
                "+OK\r\n".to_owned()
            }
            ["FLUSHALL"] => {
                *cells.lock().expect("nobody panics") = Strings::default();
                "+OK\r\n".to_owned()
            }
            _ => match transaction.take_in(db, &words, cells, wrong) {
                Some(reply) => reply,
                None => {
                    let answer = act_wrongly(cells, parsed(db, &words), wrong);
                    transaction.saw(&words, answer);
                    shown(answer)
                }
            },
        };
        stream.write_all(reply.as_bytes())?;
    }
}

/// Of one connection.
#[derive(Default)]
struct Transaction {
    queue: Option<Vec<Op>>,
    /// The watched key and its value; `Err` if that has changed since.
    watched: Option<(usize, Result<Option<i64>, ()>)>,
}

impl Transaction {
    /// Answers what has to do with transactions.
    fn take_in(&mut self, db: usize, words: &[&str], cells: &Mutex<Strings>, wrong: Wrong) -> Option<String> {
        match *words {
            ["WATCH", key] => {
                let Op::Get { key, .. } = parsed(db, &["GET", key]) else { unreachable!() };
                self.watched = Some((key, Ok(cells.lock().expect("nobody panics").cells[db][key])));
                Some("+OK\r\n".to_owned())
            }
            ["MULTI"] => {
                self.queue = Some(Vec::new());
                Some("+OK\r\n".to_owned())
            }
            ["EXEC"] => Some(self.exec(db, cells, wrong)),
            _ => {
                self.queue.as_mut()?.push(parsed(db, words));
                Some("+QUEUED\r\n".to_owned())
            }
        }
    }

    /// Notes what a GET answered.
    fn saw(&mut self, words: &[&str], answer: Answer) {
        if let (["GET", ..], Some((_, value)), Answer::Value(seen)) = (words, &mut self.watched, answer)
            && *value != Ok(seen)
        {
            *value = Err(());
        }
    }

    fn exec(&mut self, db: usize, cells: &Mutex<Strings>, wrong: Wrong) -> String {
        let lock = || cells.lock().expect("nobody panics");
        let mut model = lock();
        if let Some((key, value)) = self.watched.take()
            && value != Ok(model.cells[db][key])
        {
            self.queue = None;
            return "*-1\r\n".to_owned();
        }
        let queue = self.queue.take().unwrap_or_default();
        let mut reply = format!("*{}\r\n", queue.len());
        for (n, op) in queue.into_iter().enumerate() {
            if (n == 0 && wrong == Wrong::Watch) || (n > 0 && wrong == Wrong::Exec) {
                drop(model);
                std::thread::sleep(GAP);
                model = lock();
            }
            reply += &shown(model.apply(&op));
        }
        reply
    }
}

/// The operation that [`Strings`] made the words from.
fn parsed(db: usize, words: &[&str]) -> Op {
    let key = |word: &str| word.trim_start_matches("key").parse::<usize>().expect("a key");
    let number = |word: &str| word.parse::<i64>().expect("a number");
    match *words {
        ["GET", k] => Op::Get { db, key: key(k) },
        ["SET", k, v] => Op::Set { db, key: key(k), value: number(v) },
        ["INCR", k] => Op::Incr { db, key: key(k) },
        ["MSETNX", a, v, b, _] => Op::MsetNx { db, keys: [key(a), key(b)], value: number(v) },
        ["RENAME", from, to] => Op::Rename { db, from: key(from), to: key(to) },
        ["COPY", from, to, "DB", n, ref rest @ ..] => {
            let (to_db, replace) = (number(n) as usize, !rest.is_empty());
            Op::Copy { db, from: key(from), to: key(to), to_db, replace }
        }
        ["SWAPDB", ..] => Op::Swap,
        ["FLUSHDB"] => Op::Flush { db },
        ["MGET", ..] => Op::ReadAll { db },
        _ => panic!("{words:?}"),
    }
}

fn act_wrongly(cells: &Mutex<Strings>, op: Op, wrong: Wrong) -> Answer {
    let lock = || cells.lock().expect("nobody panics");
    let gap = || std::thread::sleep(GAP);
    match op {
        Op::MsetNx { db, keys, value } if wrong == Wrong::MsetNx => {
            let is_free = keys.iter().all(|&key| lock().cells[db][key].is_none());
            gap();
            if is_free {
                keys.iter().for_each(|&key| lock().cells[db][key] = Some(value));
            }
            Answer::Integer(i64::from(is_free))
        }
        Op::Rename { db, from, to } if wrong == Wrong::Rename => {
            let Some(value) = lock().cells[db][from].take() else { return Answer::NoSuchKey };
            gap();
            lock().cells[db][to] = Some(value);
            Answer::Done
        }
        Op::Incr { db, key } if wrong == Wrong::Incr => {
            let value = lock().cells[db][key].unwrap_or(0) + 1;
            gap();
            lock().cells[db][key] = Some(value);
            Answer::Integer(value)
        }
        Op::Swap if wrong == Wrong::Swap => {
            for half in [0..KEYS / 2, KEYS / 2..KEYS] {
                let mut model = lock();
                let [one, other] = &mut model.cells;
                one[half.clone()].swap_with_slice(&mut other[half]);
                drop(model);
                gap();
            }
            Answer::Done
        }
        _ => lock().apply(&op),
    }
}

fn shown(answer: Answer) -> String {
    let value = |value: Option<i64>| match value {
        None => "$-1\r\n".to_owned(),
        Some(n) => format!("${}\r\n{n}\r\n", n.to_string().len()),
    };
    match answer {
        Answer::Done => "+OK\r\n".to_owned(),
        Answer::Value(it) => value(it),
        Answer::Integer(n) => format!(":{n}\r\n"),
        Answer::NoSuchKey => "-ERR no such key\r\n".to_owned(),
        Answer::All(all) => format!("*{KEYS}\r\n{}", all.map(value).concat()),
    }
}

#[test]
fn a_right_server_is_not_accused() {
    let found = run::<Strings>(start(Wrong::Nothing), 30);
    assert!(found.is_ok(), "{found:?}");
}

#[test]
fn a_server_that_lets_go_in_the_middle_of_a_command_is_found_out() {
    for wrong in [Wrong::MsetNx, Wrong::Rename, Wrong::Incr, Wrong::Swap, Wrong::Watch, Wrong::Exec] {
        match run::<Strings>(start(wrong), ROUNDS) {
            Ok(_) => panic!("{wrong:?} was not noticed in {ROUNDS} rounds"),
            Err((number, _)) => println!("{wrong:?}: round {number}"),
        }
    }
}
