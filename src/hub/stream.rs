//! A response's body as it arrives, with limits on standing still and on crawling.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::client::Failure;
use super::{Progress, TimeLimits};

/// A body that is read on a thread of its own.
pub struct Stream<'a> {
    receiver: Receiver<std::io::Result<Vec<u8>>>,
    progress: &'a dyn Progress,
    limits: TimeLimits,
    window: Instant,
    window_bytes: u64,
}

impl<'a> Stream<'a> {
    /// Begins to read.
    pub fn start(
        reader: impl Read + Send + 'static,
        progress: &'a dyn Progress,
        limits: &TimeLimits,
    ) -> Result<Self, Failure> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(16);
        std::thread::Builder::new()
            .name("crane-body".into())
            .spawn(move || pump(reader, &sender))
            .map_err(|e| Failure::Broken(format!("no thread: {e}")))?;
        Ok(Self {
            receiver,
            progress,
            limits: limits.clone(),
            window: Instant::now(),
            window_bytes: 0,
        })
    }

    /// The next bytes; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let since = Instant::now();
        loop {
            if self.progress.interrupted() {
                return Err(Failure::Interrupted);
            }
            match self.receiver.recv_timeout(Duration::from_millis(25)) {
                Ok(Ok(bytes)) => {
                    self.not_too_slow(bytes.len() as u64)?;
                    return Ok(Some(bytes));
                }
                Ok(Err(e)) => return Err(Failure::Broken(format!("the connection broke: {e}"))),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if since.elapsed() > self.limits.idle => {
                    return Err(Failure::Broken(format!(
                        "no byte came for {} s",
                        self.limits.idle.as_secs()
                    )))
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// A server that sends a byte now and then never trips the idle limit; this one it does.
    fn not_too_slow(&mut self, bytes: u64) -> Result<(), Failure> {
        self.window_bytes += bytes;
        if self.window.elapsed() < self.limits.slow {
            return Ok(());
        }
        if self.window_bytes < TimeLimits::SLOW_BYTES {
            return Err(Failure::Broken(format!(
                "only {} bytes came in {} s",
                self.window_bytes,
                self.limits.slow.as_secs()
            )));
        }
        self.window = Instant::now();
        self.window_bytes = 0;
        Ok(())
    }
}

fn pump(mut reader: impl Read, sender: &SyncSender<std::io::Result<Vec<u8>>>) {
    loop {
        let mut buffer = vec![0; 64 << 10];
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                buffer.truncate(n);
                if sender.send(Ok(buffer)).is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => {
                let _ = sender.send(Err(e));
                return;
            }
        }
    }
}
