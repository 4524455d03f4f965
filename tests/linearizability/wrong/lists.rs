//! Wrong servers of the world of lists.
//!
//! For: bugs of waiting, of transactions, of scripts and of messages. May touch: sockets.
//! Always: only what is named in [`Wrong`] is wrong.

use super::{GAP, listen, read_request, run};
use crate::lists::{Command, Lists, Op, Place};
use crate::rounds::ROUNDS;
use crate::search::World;
use crate::support::Reply;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// EXEC lets go between looking at the watched keys and running: their shards are not locked.
    Watch,
    /// EXEC lets go between its commands.
    Exec,
    /// EVAL lets go between its commands.
    Script,
    /// Who waits is served after the lock has been let go.
    Serve,
    /// A blocking move looks, lets go, and gets in line without looking again.
    Recheck,
    /// A message goes to each listener by itself.
    Tell,
    /// Messages are sent after the lock has been let go.
    TellLate,
}

/// What all connections share.
struct Server {
    wrong: Wrong,
    state: Mutex<State>,
    /// Told after every change.
    changed: Condvar,
    /// Held while one message goes to all listeners.
    listeners: Mutex<Vec<TcpStream>>,
}

#[derive(Default)]
struct State {
    model: Lists,
    blocked: usize,
}

/// Of one connection.
struct Session {
    id: usize,
    server: Arc<Server>,
    queue: Option<Vec<Command>>,
    /// The watched key and its elements; `Err` if they have changed since.
    watched: Option<(usize, Result<Reply, ()>)>,
}

fn start(wrong: Wrong) -> SocketAddr {
    let (state, changed, listeners) = Default::default();
    let server = Arc::new(Server { wrong, state, changed, listeners });
    listen(move |id, mut stream| {
        let mut session = Session { id, server: Arc::clone(&server), queue: None, watched: None };
        let mut input = BufReader::new(stream.try_clone()?);
        loop {
            let words = read_request(&mut input)?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut out = Vec::new();
            // Who listens to one channel listens to all.
            if words == ["SUBSCRIBE", Lists::CHANNELS[0]] {
                server.listeners.lock().expect("nobody panics").push(stream.try_clone()?);
            }
            show(&session.answer(&words), &mut out);
            stream.write_all(&out)?;
        }
    })
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.server.state.lock().expect("nobody panics")
    }

    /// Lets others in between, for a time that differs from client to client.
    fn gap(&self) {
        std::thread::sleep(GAP * (1 + self.id as u32 % 3));
    }

    fn answer(&mut self, words: &[&str]) -> Reply {
        match *words {
            ["PING"] | ["SUBSCRIBE", _] => ok(),
            ["FLUSHALL"] => {
                self.state().model = Lists::default();
                ok()
            }
            ["INFO", _] => Reply::Bulk(format!("blocked_clients:{}\r\n", self.state().blocked).into_bytes()),
            ["WATCH", name] => {
                let elements = self.state().model.command(Command::Read(key(name)), &mut Vec::new());
                self.watched = Some((key(name), Ok(elements)));
                ok()
            }
            ["MULTI"] => {
                self.queue = Some(Vec::new());
                ok()
            }
            ["EXEC"] => self.exec(),
            ["EVAL", _, count, ref rest @ ..] => {
                let keys = count.parse::<usize>().expect("a number");
                self.run(&commands(&rest[keys..]), self.server.wrong == Wrong::Script)
            }
            ["BLMOVE", from, to, ..] => self.wait(Place { client: self.id, from: key(from), to: key(to) }),
            ["CLIENT", "ID"] => Reply::Integer(self.id as i64),
            ["CLIENT", "UNBLOCK", id] => {
                let (id, mut state) = (id.parse::<usize>().expect("an identity"), self.state());
                let waits = state.model.is_waiting(id);
                state.model.release(id);
                self.server.changed.notify_all();
                Reply::Integer(i64::from(waits))
            }
            _ => self.once(commands(words)[0]),
        }
    }

    /// A command by itself, or for the queue.
    fn once(&mut self, command: Command) -> Reply {
        if let Some(queue) = &mut self.queue {
            queue.push(command);
            return Reply::Simple(b"QUEUED".to_vec());
        }
        let Reply::Array(mut all) = self.run(&[command], false) else { unreachable!("one for each command") };
        let reply = all.remove(0);
        if let (Command::Read(_), Some((_, elements))) = (command, &mut self.watched)
            && elements.as_ref() != Ok(&reply)
        {
            *elements = Err(());
        }
        reply
    }

    fn exec(&mut self) -> Reply {
        let queue = self.queue.take().unwrap_or_default();
        if let Some((key, elements)) = self.watched.take() {
            let mut state = self.state();
            if elements != Ok(state.model.command(Command::Read(key), &mut Vec::new())) {
                return Reply::NullArray;
            }
            if self.server.wrong != Wrong::Watch {
                return self.run_held(state, &queue, self.server.wrong == Wrong::Exec);
            }
            drop(state);
            self.gap();
        }
        self.run(&queue, self.server.wrong == Wrong::Exec)
    }

    fn run(&self, commands: &[Command], lets_go: bool) -> Reply {
        self.run_held(self.state(), commands, lets_go)
    }

    /// Runs commands under the lock, or letting it go between them, then serves who waits.
    fn run_held<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        commands: &[Command],
        lets_go: bool,
    ) -> Reply {
        let wrong = self.server.wrong;
        let (mut ready, mut replies, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for (n, command) in commands.iter().enumerate() {
            if n > 0 && lets_go {
                drop(state);
                self.gap();
                state = self.state();
            }
            replies.push(state.model.command(*command, &mut ready));
            match *command {
                Command::Publish(channel, text) if matches!(wrong, Wrong::Tell | Wrong::TellLate) => {
                    late.push((channel, text));
                }
                Command::Publish(channel, text) => self.tell(channel, text),
                _ => {}
            }
        }
        if wrong == Wrong::Serve && state.blocked > 0 {
            drop(state);
            self.gap();
            state = self.state();
        }
        state.model.serve(ready);
        drop(state);
        self.server.changed.notify_all();
        for (channel, text) in late {
            self.gap();
            self.tell(channel, text);
        }
        Reply::Array(replies)
    }

    /// Sends a message to all listeners; an error means that one is gone.
    fn tell(&self, channel: usize, text: i64) {
        let words = ["message", Lists::CHANNELS[channel], &text.to_string()].map(|it| Reply::Bulk(it.into()));
        let mut out = Vec::new();
        show(&Reply::Array(words.to_vec()), &mut out);
        if self.server.wrong != Wrong::Tell {
            let mut listeners = self.server.listeners.lock().expect("nobody panics");
            listeners.iter_mut().for_each(|it| drop(it.write_all(&out)));
            return;
        }
        let count = self.server.listeners.lock().expect("nobody panics").len();
        for at in 0..count {
            drop(self.server.listeners.lock().expect("nobody panics")[at].write_all(&out));
            self.gap();
        }
    }

    fn wait(&self, place: Place) -> Reply {
        let mut state = self.state();
        if self.server.wrong == Wrong::Recheck && state.model.has_nothing(place) {
            drop(state);
            self.gap();
            state = self.state();
            state.model.wait(place);
        } else {
            state.model.apply(&Op::Asked(place));
            self.server.changed.notify_all();
        }
        state.blocked += 1;
        let waits = |state: &mut State| state.model.is_waiting(self.id);
        state = self.server.changed.wait_while(state, waits).expect("nobody panics");
        state.blocked -= 1;
        state.model.apply(&Op::Served(self.id)).replies.remove(0)
    }
}

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn key(name: &str) -> usize {
    name.trim_start_matches("key").parse::<usize>().expect("a key")
}

/// The commands whose requests follow each other in `words`.
fn commands(mut words: &[&str]) -> Vec<Command> {
    let number = |word: &str| word.parse::<i64>().expect("a number");
    let channel = |name: &str| Lists::CHANNELS.iter().position(|it| *it == name).expect("a channel");
    let mut all = Vec::new();
    while let &[verb, first, ref rest @ ..] = words {
        let (command, used) = match verb {
            "LRANGE" => (Command::Read(key(first)), 2),
            "RPUSH" => (Command::Push(key(first), number(rest[0])), 1),
            "LMOVE" => (Command::Move(key(first), key(rest[0])), 3),
            "RENAME" => (Command::Rename(key(first), key(rest[0])), 1),
            "DEL" => (Command::Delete(key(first)), 0),
            "PUBLISH" => (Command::Publish(channel(first), number(rest[0])), 1),
            _ => panic!("{words:?}"),
        };
        all.push(command);
        words = &rest[used..];
    }
    all
}

fn show(reply: &Reply, out: &mut Vec<u8>) {
    let mut line = |kind: &str, text: &[u8]| out.extend([kind.as_bytes(), text, b"\r\n"].concat());
    match reply {
        Reply::Simple(text) => line("+", text),
        Reply::Error(text) => line("-", text),
        Reply::Integer(n) => line(":", n.to_string().as_bytes()),
        Reply::NullBulk => line("$", b"-1"),
        Reply::NullArray => line("*", b"-1"),
        Reply::Bulk(text) => {
            line("$", text.len().to_string().as_bytes());
            line("", text);
        }
        Reply::Array(members) => {
            line("*", members.len().to_string().as_bytes());
            members.iter().for_each(|member| show(member, out));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_right_server_is_not_accused() {
    let found = run::<Lists>(start(Wrong::Nothing), 30);
    assert!(found.is_ok(), "{found:?}");
}

#[test]
fn a_server_that_lets_go_in_the_middle_is_found_out() {
    let transactions = [Wrong::Watch, Wrong::Exec, Wrong::Script];
    let waits_and_messages = [Wrong::Serve, Wrong::Recheck, Wrong::Tell, Wrong::TellLate];
    for wrong in transactions.into_iter().chain(waits_and_messages) {
        match run::<Lists>(start(wrong), ROUNDS) {
            Ok(_) => panic!("{wrong:?} was not noticed in {ROUNDS} rounds"),
            Err((number, _)) => println!("{wrong:?}: round {number}"),
        }
    }
}
