//! Orders that are cancelled when nobody pays in time: `cargo run --example order_timeout`.
//!
//! For: deadlines that have to start something. Each order has a timer, a key that expires; the server tells
//! of it as a message. May touch: the server.
//! Always: an order ends once, paid or cancelled, however close the payment and the deadline come, and
//! however many listen.

use redis::{Client, Commands, Connection, RedisResult};
use std::sync::Barrier;

/// Directives that the server needs: events by name (`E`) of keys that expire (`x`).
pub const EVENTS: (&str, &str) = ("notify-keyspace-events", "Ex");

/// Ends an order if it is open.
const END: &str = "
    if redis.call('HGET', KEYS[1], 'state') ~= 'open' then return 0 end
    redis.call('HSET', KEYS[1], 'state', ARGV[1])
    redis.call('DEL', KEYS[2])
    return 1";

fn order_key(id: u64) -> String {
    format!("order:{id}")
}

fn timer_key(id: u64) -> String {
    format!("timer:{id}")
}

/// Opens an order that has to be paid within `limit_ms` milliseconds.
pub fn open(con: &mut Connection, id: u64, limit_ms: u64) -> RedisResult<()> {
    // Both or neither.
    redis::pipe()
        .atomic()
        .hset(order_key(id), "state", "open")
        .pset_ex(timer_key(id), "", limit_ms)
        .ignore()
        .exec(con)
}

/// `open`, `paid` or `cancelled`.
pub fn state(con: &mut Connection, id: u64) -> RedisResult<String> {
    con.hget(order_key(id), "state")
}

/// Pays an order; false if it was cancelled before.
pub fn pay(con: &mut Connection, id: u64) -> RedisResult<bool> {
    end(con, id, "paid")
}

fn end(con: &mut Connection, id: u64, state: &str) -> RedisResult<bool> {
    redis::cmd("EVAL").arg(END).arg(2).arg(order_key(id)).arg(timer_key(id)).arg(state).query(con)
}

/// Cancels orders whose timers expire, the order `last` at the end: how many it cancelled. Calls `ready` once
/// it listens; what expired before that it does not hear of.
pub fn cancel_late(client: &Client, last: u64, ready: impl FnOnce()) -> RedisResult<usize> {
    let (mut listening, mut con) = (client.get_connection()?, client.get_connection()?);
    let mut events = listening.as_pubsub();
    events.subscribe("__keyevent@0__:expired")?;
    ready();
    let mut cancelled = 0;
    loop {
        let key: String = events.get_message()?.get_payload()?;
        if let Some(id) = key.strip_prefix("timer:").and_then(|id| id.parse::<u64>().ok()) {
            cancelled += usize::from(end(&mut con, id, "cancelled")?);
            if id == last {
                return Ok(cancelled);
            }
        }
    }
}

fn main() -> RedisResult<()> {
    let server = ochre::Server::builder()
        .config("bind", "127.0.0.1")
        .config("port", "0")
        .config(EVENTS.0, EVENTS.1)
        .start()?;
    let client = Client::open(format!("redis://{}", server.addr()))?;
    let mut con = client.get_connection()?;
    let listens = Barrier::new(2);
    std::thread::scope(|scope| {
        // Two of the three orders will not be paid.
        let listener = scope.spawn(|| {
            cancel_late(&client, 3, || {
                listens.wait();
            })
        });
        listens.wait();
        for id in 1..=3 {
            open(&mut con, id, 50 * id)?;
        }
        println!("order 2 is paid in time: {}", pay(&mut con, 2)?);
        println!("cancelled for want of payment: {}", listener.join().expect("the listener works")?);
        for id in 1..=3 {
            println!("order {id}: {}", state(&mut con, id)?);
        }
        println!("order 3 can still be paid: {}", pay(&mut con, 3)?);
        Ok(())
    })
}
