//! An address whose server dies and is replaced.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::bench::Served;

/// Stands before a server that is replaced by another: an address that stays.
pub(crate) struct Front {
    pub(crate) url: String,
    /// The address of the present server.
    server: Arc<Mutex<Option<String>>>,
}

impl Front {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = Arc::new(Mutex::new(None::<String>));
        let current = server.clone();
        beside(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let address = current.lock().unwrap().clone();
                let Some(Ok(server)) = address.map(TcpStream::connect) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    beside(move || {
                        let _cut = std::io::copy(&mut from, &mut to);
                        let _gone = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { url, server }
    }

    /// Leads to that server from now on, or to none.
    pub(crate) fn leads_to(&self, server: Option<&Served>) {
        let address = server.map(|server| server.url.replace("http://", ""));
        *self.server.lock().unwrap() = address;
    }
}

/// Runs it beside the test.
#[expect(
    clippy::disallowed_methods,
    reason = "what a test plays blocks, and ends with the test's process"
)]
pub(crate) fn beside(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}
