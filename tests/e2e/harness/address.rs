//! An address behind which the server may change, as behind a proxy or a name.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(crate) struct Address {
    url: String,
    shared: Arc<Mutex<Shared>>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    /// Host and port; none when there is no address any more.
    server: Option<String>,
    connections: Vec<TcpStream>,
}

impl Address {
    /// Leads to the server of this URL.
    pub(crate) fn of(url: &str) -> Address {
        let (user, server) = parts(url);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("{user}@{}", listener.local_addr().expect("it is bound"));
        let shared = Shared { server: Some(server.to_owned()), connections: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let of_listener = shared.clone();
        let listener = Some(std::thread::spawn(move || listen(&listener, &of_listener)));
        Address { url, shared, listener }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on it leads to another server. Connections that there are break.
    pub(crate) fn leads_to(&self, url: &str) {
        self.turn_to(Some(parts(url).1.to_owned()));
    }

    fn turn_to(&self, server: Option<String>) {
        let mut shared = self.shared.lock().expect("no panic");
        shared.server = server;
        for connection in shared.connections.drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.turn_to(None);
        // The listener looks up when somebody comes.
        let _ = TcpStream::connect(parts(&self.url).1);
        let _ = self.listener.take().expect("taken here only").join();
    }
}

/// Who, and where.
fn parts(url: &str) -> (&str, &str) {
    url.rsplit_once('@').expect("a URL has an address")
}

fn listen(listener: &TcpListener, shared: &Mutex<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        let mut shared = shared.lock().expect("no panic");
        let Some(server) = &shared.server else { return };
        // A server that is away is a connection that breaks.
        let Ok(server) = TcpStream::connect(server) else { continue };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let [from, to] = [from, to].map(|stream| stream.try_clone().expect("a descriptor"));
            std::thread::spawn(move || pass_on(from, to));
        }
        shared.connections.extend([client, server]);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut bytes)
        && count > 0
        && to.write_all(&bytes[..count]).is_ok()
    {}
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
