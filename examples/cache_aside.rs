//! A cache beside a slow source, with copies in every process: `cargo run --example cache_aside`.
//!
//! For: values that are read often and changed now and then. A reader looks into its own copies, then into
//! the cache that all share, then asks the source. Who changes the source drops the shared copy; the server
//! tells all processes of that, as an event, and they drop their own. May touch: the server.
//! Always: once a change has been told, nobody who asks again gets the old value. What a reader got from the
//! source before a change is not put into the cache after it.

use redis::{Client, Commands, Connection, RedisResult};
use std::collections::HashMap;
use std::sync::{Arc, Barrier, Mutex};

/// Directives that the server needs: events by name (`E`) of deleted (`g`) and expired (`x`) keys.
pub const EVENTS: (&str, &str) = ("notify-keyspace-events", "Egx");

/// How long a value may stay in the shared cache, in seconds.
const LIFETIME_SECONDS: u64 = 60;

/// Where a value is in the shared cache.
fn value_key(name: &str) -> String {
    format!("cache:{{{name}}}")
}

/// Where its changes are counted.
fn changes_key(name: &str) -> String {
    format!("changes:{{{name}}}")
}

/// What a process keeps for itself.
#[derive(Default)]
pub struct Copies {
    values: HashMap<String, String>,
    /// Events heard so far: a copy that was fetched before the last one may be old.
    events: u64,
}

/// The cache as one process sees it.
pub struct Cache {
    con: Connection,
    copies: Arc<Mutex<Copies>>,
}

impl Cache {
    /// A cache whose copies are dropped by [`hear`], which has to listen already.
    pub fn new(client: &Client, copies: Arc<Mutex<Copies>>) -> RedisResult<Cache> {
        Ok(Cache { con: client.get_connection()?, copies })
    }

    /// The value `name`: from the nearest place that has it, else from `load`.
    pub fn read(&mut self, name: &str, load: impl Fn() -> String) -> RedisResult<String> {
        let events = {
            let copies = self.copies.lock().expect("nobody panics with it");
            if let Some(value) = copies.values.get(name) {
                return Ok(value.clone());
            }
            copies.events
        };
        let value = self.fetch(name, load)?;
        let mut copies = self.copies.lock().expect("nobody panics with it");
        if copies.events == events {
            copies.values.insert(name.to_owned(), value.clone());
        }
        Ok(value)
    }

    /// The shared value, loaded if there is none.
    fn fetch(&mut self, name: &str, load: impl Fn() -> String) -> RedisResult<String> {
        let (value_key, changes_key) = (value_key(name), changes_key(name));
        // The transaction is tried again if the value is changed between here and its end.
        redis::transaction(&mut self.con, &[&changes_key], |con, pipe| {
            if let Some(value) = con.get(&value_key)? {
                return Ok(Some(value));
            }
            let value = load();
            let kept: Option<()> = pipe.set_ex(&value_key, &value, LIFETIME_SECONDS).ignore().query(con)?;
            Ok(kept.map(|()| value))
        })
    }

    /// Drops the value `name` everywhere; call it after the source was changed.
    pub fn changed(&mut self, name: &str) -> RedisResult<()> {
        redis::pipe().atomic().incr(changes_key(name), 1).del(value_key(name)).ignore().exec(&mut self.con)
    }
}

/// Drops copies whose shared values are gone, until the connection ends. Calls `ready` once it listens.
pub fn hear(client: &Client, copies: &Mutex<Copies>, ready: impl FnOnce()) -> RedisResult<()> {
    let mut con = client.get_connection()?;
    let mut events = con.as_pubsub();
    events.subscribe(&["__keyevent@0__:del", "__keyevent@0__:expired"])?;
    ready();
    loop {
        let key: String = events.get_message()?.get_payload()?;
        let mut copies = copies.lock().expect("nobody panics with it");
        copies.events += 1;
        if let Some(name) = key.strip_prefix("cache:{").and_then(|rest| rest.strip_suffix('}')) {
            copies.values.remove(name);
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
    let price = Mutex::new(100);
    let load = || {
        println!("  the source is asked");
        price.lock().expect("nobody panics with it").to_string()
    };
    let all_listen = Arc::new(Barrier::new(3));
    let mut caches = Vec::new();
    for _ in 0..2 {
        let copies = Arc::new(Mutex::new(Copies::default()));
        caches.push(Cache::new(&client, Arc::clone(&copies))?);
        let (client, all_listen) = (client.clone(), Arc::clone(&all_listen));
        // Ends with the server.
        std::thread::spawn(move || {
            hear(&client, &copies, || {
                all_listen.wait();
            })
        });
    }
    all_listen.wait();
    for (n, cache) in caches.iter_mut().enumerate() {
        println!("process {n} reads {}", cache.read("price", load)?);
        println!("process {n} reads {} again", cache.read("price", load)?);
    }
    *price.lock().expect("nobody panics with it") = 120;
    caches[0].changed("price")?;
    // The event is on its way to the other process.
    while caches[1].read("price", load)? != "120" {}
    println!("process 1 reads the new price");
    Ok(())
}
