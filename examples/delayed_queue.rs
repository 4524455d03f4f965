//! Tasks that are done when their time has come: `cargo run --example delayed_queue`.
//!
//! For: reminders, retries, anything that is due later. A sorted set holds the tasks by the time when they
//! are due; any number of consumers compete for them. May touch: the server.
//! Always: a task belongs to whoever removed it, so each is handled once; none is handled before its time.

use redis::{Client, Commands, Connection, RedisResult};
use std::time::Duration;

/// Longest sleep of a consumer: a task that comes in the meantime may be due earlier than the others.
const NAP_MS: u64 = 10;

/// The server's time in unix milliseconds: all consumers agree on it.
pub fn now_ms(con: &mut Connection) -> RedisResult<u64> {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(con)?;
    Ok(seconds * 1000 + micros / 1000)
}

/// Puts a task in the queue; it is due in `delay_ms` milliseconds.
pub fn schedule(con: &mut Connection, queue: &str, task: &str, delay_ms: u64) -> RedisResult<()> {
    let due_ms = now_ms(con)? + delay_ms;
    con.zadd(queue, task, due_ms)
}

/// What a consumer finds.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// A task, now the caller's.
    Task(String),
    /// Nothing is due for so many milliseconds, or somebody else was faster.
    In(u64),
    /// The queue is empty.
    Nothing,
}

/// Takes the task that is due first.
pub fn take(con: &mut Connection, queue: &str) -> RedisResult<Next> {
    let first: Vec<(String, u64)> = con.zrange_withscores(queue, 0, 0)?;
    let Some((task, due_ms)) = first.into_iter().next() else { return Ok(Next::Nothing) };
    let now_ms = now_ms(con)?;
    if due_ms > now_ms {
        return Ok(Next::In(due_ms - now_ms));
    }
    // Of all who saw it, one removes it.
    let removed: usize = con.zrem(queue, &task)?;
    Ok(if removed == 1 { Next::Task(task) } else { Next::In(0) })
}

/// Handles tasks until the queue is empty.
pub fn consume(
    con: &mut Connection,
    queue: &str,
    mut handle: impl FnMut(&mut Connection, String) -> RedisResult<()>,
) -> RedisResult<()> {
    loop {
        match take(con, queue)? {
            Next::Task(task) => handle(con, task)?,
            Next::In(wait_ms) => std::thread::sleep(Duration::from_millis(wait_ms.min(NAP_MS))),
            Next::Nothing => return Ok(()),
        }
    }
}

fn main() -> RedisResult<()> {
    let server = ochre::Server::builder().config("bind", "127.0.0.1").config("port", "0").start()?;
    let client = Client::open(format!("redis://{}", server.addr()))?;
    let mut con = client.get_connection()?;
    for (task, delay_ms) in [("third", 90), ("first", 30), ("second", 60), ("at once", 0)] {
        schedule(&mut con, "tasks", task, delay_ms)?;
    }
    std::thread::scope(|scope| {
        let work = |name: &'static str| {
            let mut con = client.get_connection()?;
            consume(&mut con, "tasks", |_, task| {
                println!("{name} does {task:?}");
                Ok(())
            })
        };
        let workers = ["one", "two"].map(|name| scope.spawn(move || work(name)));
        workers.into_iter().try_for_each(|it| it.join().expect("no worker panics"))
    })
}
