//! A cable between the gateway and a pool that can be cut: connections are taken and stay open, and nothing arrives on
//! them any more, in either direction.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Octets moved at once.
const CHUNK: usize = 16 * 1024;

/// A relay in front of one address. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_cut: bool,
    is_over: bool,
    /// Connections that lost octets, or were made while the cable was cut: no stream with a hole in it may go on.
    broken: Vec<TcpStream>,
}

impl Cable {
    /// Lays one to `target`. It need not listen yet.
    ///
    /// # Panics
    ///
    /// When there is no port left.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for taken in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                if state.is_over {
                    return;
                }
                if state.is_cut {
                    state.broken.push(taken);
                    continue;
                }
                drop(state);
                // Nobody at the other end: the connection ends, as if it had been refused.
                let Ok(other) = TcpStream::connect(target) else {
                    continue;
                };
                for (from, to) in [(&taken, &other), (&other, &taken)] {
                    from.set_nodelay(true).unwrap();
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || carry(from, to, &shared));
                }
            }
        });
        Self { address, state }
    }

    /// This end.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts it. What is sent from now on vanishes; nobody is told anything, not even of a connection that ends.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn cut(&self) {
        self.state.lock().unwrap().is_cut = true;
    }

    /// Mends it. Connections on which something vanished end; new ones work.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn heal(&self) {
        let broken = {
            let mut state = self.state.lock().unwrap();
            state.is_cut = false;
            std::mem::take(&mut state.broken)
        };
        for connection in broken {
            let _gone = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.state.lock().unwrap().is_over = true;
        self.heal();
        // The thread that takes connections wakes, and ends.
        let _woken = TcpStream::connect(self.address);
    }
}

/// One direction of one connection.
fn carry(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).unwrap_or(0);
        {
            let mut state = state.lock().unwrap();
            if state.is_cut {
                state.broken.extend(
                    [&from, &to]
                        .into_iter()
                        .filter_map(|it| it.try_clone().ok()),
                );
                if read == 0 {
                    return;
                }
                continue;
            }
        }
        if read == 0 || to.write_all(&chunk[..read]).is_err() {
            let _gone = from.shutdown(Shutdown::Both);
            let _gone = to.shutdown(Shutdown::Both);
            return;
        }
    }
}
