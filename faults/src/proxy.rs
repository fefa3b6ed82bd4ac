//! A way between two processes that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Open.
    Open,
    /// Closed: connections break, and new ones are closed at once.
    Cut,
    /// Silent: nothing passes, and nobody is told. Connections break when it ends; new ones wait.
    Silent,
    /// Forgotten: what is connected now, or connects meanwhile, is swallowed for ever, and nobody is
    /// told. Connections that are made when it ends are well.
    Forgotten,
}

/// Forwards connections to an address. Ends with all its connections when dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    target: watch::Sender<String>,
    way: watch::Sender<Way>,
    struck: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to listen on a free port.
    pub(crate) async fn to(target: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for a proxy")?;
        let address = listener.local_addr()?;
        let (way, seen) = watch::channel(Way::Open);
        let (target, leads_to) = watch::channel(target);
        let struck = Arc::new(AtomicU64::new(0));
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the proxy, which keeps its handle"
        )]
        let task = tokio::spawn(serve(listener, leads_to, seen, Arc::clone(&struck)));
        Ok(Self {
            address,
            target,
            way,
            struck,
            task,
        })
    }

    /// Opens or closes the way.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Leads all connections that are made from now on to another address.
    pub(crate) fn turn(&self, target: String) {
        self.target.send_replace(target);
    }

    /// How many connections have met a way that was not open so far.
    pub(crate) fn struck(&self) -> u64 {
        self.struck.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: watch::Receiver<String>,
    way: watch::Receiver<Way>,
    struck: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (target, way, struck) = (target.clone(), way.clone(), Arc::clone(&struck));
        connections.spawn(async move { forward(client, target, way, struck).await });
    }
}

/// One connection, until either side ends it or the way is cut.
async fn forward(
    mut client: TcpStream,
    target: watch::Receiver<String>,
    mut way: watch::Receiver<Way>,
    struck: Arc<AtomicU64>,
) {
    let _ = client.set_nodelay(true);
    let mut server: Option<TcpStream> = None;
    loop {
        let now = *way.borrow_and_update();
        if now != Way::Open {
            struck.fetch_add(1, Ordering::Relaxed);
        }
        match now {
            Way::Cut => return,
            // Neither read nor written: both sides wait. What was on its way is gone, and so a
            // connection that carried something must not go on.
            Way::Silent => {
                if way.changed().await.is_err() || server.is_some() {
                    return;
                }
            }
            Way::Forgotten => return std::future::pending().await,
            Way::Open => {
                if server.is_none() {
                    let target = target.borrow().clone();
                    server = TcpStream::connect(target).await.ok();
                }
                let Some(server) = server.as_mut() else {
                    return;
                };
                let _ = server.set_nodelay(true);
                tokio::select! {
                    _ = copy_bidirectional(&mut client, server) => return,
                    changed = way.changed() => if changed.is_err() { return },
                }
            }
        }
    }
}
