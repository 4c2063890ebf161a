//! Work that was recorded once and is put on the stream as a whole.

use std::sync::Arc;

use cudarc::driver::sys;

use super::error::{check, GpuError};
use super::gpu::Gpu;

/// A recorded sequence of kernels.
pub struct Graph {
    gpu: Arc<Gpu>,
    ready: sys::CUgraphExec,
}

// SAFETY: a handle that one owner uses; the driver lets any thread do so.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` puts on the stream instead of running it. It must neither allocate nor wait.
    ///
    /// # Errors
    /// Those of `work`, and of the recording.
    pub fn record<E: From<GpuError>>(
        gpu: &Arc<Gpu>,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        gpu.enter()?;
        // SAFETY: the stream is the GPU's own, and captures end below whatever `work` does.
        check("cuStreamBeginCapture", unsafe {
            sys::cuStreamBeginCapture_v2(
                gpu.stream,
                sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
            )
        })?;
        let done = work();
        let mut graph = std::ptr::null_mut();
        // SAFETY: `graph` is written by the call.
        let ended = check("cuStreamEndCapture", unsafe {
            sys::cuStreamEndCapture(gpu.stream, &mut graph)
        });
        done?;
        ended?;
        let mut ready = std::ptr::null_mut();
        // SAFETY: a graph that was just recorded; it is no longer needed once it is ready to run.
        let made = unsafe {
            let made = sys::cuGraphInstantiateWithFlags(&mut ready, graph, 0);
            sys::cuGraphDestroy(graph);
            made
        };
        check("cuGraphInstantiate", made)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            ready,
        })
    }

    /// Puts it on the stream.
    pub fn launch(&self) -> Result<(), GpuError> {
        self.gpu.enter()?;
        // SAFETY: the buffers that it names are alive: whoever moves one records anew.
        check("cuGraphLaunch", unsafe {
            sys::cuGraphLaunch(self.ready, self.gpu.stream)
        })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: made by cuGraphInstantiate, destroyed once.
            let _ = unsafe { sys::cuGraphExecDestroy(self.ready) };
        }
    }
}
