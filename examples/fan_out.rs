//! News for everybody who listens: `cargo run --example fan_out`.
//!
//! For: telling many processes of something at once. May touch: the server.
//! Always: all who listen to a channel hear the same messages in the same order; who does not listen misses
//! them.

use redis::{Client, Commands, RedisResult};
use std::sync::Barrier;
use std::sync::mpsc::{Sender, channel};

/// Says that there will be no more news.
pub const END: &str = "that is all";

/// Listens to `channel` and hands on what it hears until [`END`]. Calls `ready` once it listens.
pub fn listen(
    client: &Client,
    channel: &str,
    ready: impl FnOnce(),
    heard: &Sender<String>,
) -> RedisResult<()> {
    let mut con = client.get_connection()?;
    let mut messages = con.as_pubsub();
    messages.subscribe(channel)?;
    ready();
    loop {
        let text: String = messages.get_message()?.get_payload()?;
        if text == END || heard.send(text).is_err() {
            return Ok(());
        }
    }
}

/// Tells everybody; answers how many there were.
pub fn tell(con: &mut redis::Connection, channel: &str, text: &str) -> RedisResult<usize> {
    con.publish(channel, text)
}

fn main() -> RedisResult<()> {
    let server = ochre::Server::builder().config("bind", "127.0.0.1").config("port", "0").start()?;
    let client = Client::open(format!("redis://{}", server.addr()))?;
    let mut con = client.get_connection()?;
    let all_listen = Barrier::new(4);
    std::thread::scope(|scope| {
        let mut listeners = Vec::new();
        for n in 1..=3 {
            let (client, all_listen, (heard, hears)) = (&client, &all_listen, channel());
            let ready = move || {
                all_listen.wait();
            };
            listeners.push(scope.spawn(move || listen(client, "news", ready, &heard)));
            scope.spawn(move || hears.iter().for_each(|text| println!("listener {n} hears {text:?}")));
        }
        all_listen.wait();
        for text in ["rain in the north", "sun in the south", END] {
            println!("told {} listeners", tell(&mut con, "news", text)?);
        }
        listeners.into_iter().try_for_each(|it| it.join().expect("no listener panics"))
    })
}
