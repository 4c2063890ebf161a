//! Which tokens are the likeliest, found where the logits lie: few bytes come back instead of a whole row.

use cudarc::driver::sys;

use super::{Place, Work, TICKET_BYTES};
use crate::kernels::cuda::error::{check, GpuError};
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::memory::{Address, Shared};

/// Tokens that come back at most.
const ROOM: usize = 4096;
/// Their number, whether some logit was no number, then token and logit of each.
pub(super) const FOUND_WORDS: usize = 2 + 2 * ROOM;
const BINS: usize = 4096;
const STATE_WORDS: usize = 8;
const BLOCKS: usize = 128;

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct BestArgs {
    logits: Address,
    count: u32,
    partial: Address,
    ticket: Address,
    best: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for BestArgs {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct FewArgs {
    logits: Address,
    count: u32,
    k: u32,
    bins: Address,
    state: Address,
    found: Address,
    room: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for FewArgs {}

/// What is known of a row of logits.
#[derive(Debug, Clone, PartialEq)]
pub enum Likely {
    /// Tokens and their logits, in no order: as many of the likeliest as were asked for, all that equal the last of
    /// these, and maybe others.
    Tokens(Vec<(u32, f32)>),
    /// Some logit is no number, or none is finite.
    NoNumber,
    /// More than come back at once are among the likeliest.
    TooMany,
}

fn launch(kernel: &'static str) -> Launch {
    Launch {
        kernel,
        blocks: [BLOCKS as u32, 1, 1],
        threads: 256,
        shared: 0,
    }
}

impl Work {
    /// Waits for the step and gives the likeliest of its first `count` logits, counted from the head's first row: the
    /// `k` likeliest ones.
    ///
    /// # Errors
    /// What failed in the step.
    pub fn likely(&mut self, count: usize, k: usize) -> Result<Likely, GpuError> {
        self.choose(0, count, k)?;
        self.gpu.synchronize()?;
        Ok(self.chosen(0, k))
    }

    /// [`Work::likely`] of each of the step's tokens, `count` logits each, where so many are named; all of them are
    /// waited for once.
    ///
    /// # Errors
    /// What failed in the step.
    pub fn likely_each(
        &mut self,
        count: usize,
        few: &[Option<usize>],
    ) -> Result<Vec<Option<Likely>>, GpuError> {
        let words = FOUND_WORDS * few.len();
        if self.found.len() < words {
            self.found = Shared::new(&self.gpu, words)?;
        }
        for (row, k) in few.iter().enumerate() {
            if let Some(k) = *k {
                self.choose(row, count, k)?;
            }
        }
        self.gpu.synchronize()?;
        let rows = few.iter().enumerate();
        Ok(rows
            .map(|(row, k)| k.map(|k| self.chosen(row, k)))
            .collect())
    }

    /// Puts the choice of the `k` likeliest of row `row` of the logits on the stream.
    fn choose(&mut self, row: usize, count: usize, k: usize) -> Result<(), GpuError> {
        let logits = self.held(Place::Logits)?.address() + (4 * row * count) as u64;
        let found = self.found.address() + (4 * row * FOUND_WORDS) as u64;
        if k <= 1 {
            let arguments = BestArgs {
                logits,
                count: count as u32,
                partial: self.place(Place::Best, 8 * BLOCKS)?,
                ticket: self.place(Place::Tickets, TICKET_BYTES)? + TICKET_BYTES as u64 - 4,
                best: found,
            };
            return self.gpu.launch(&launch("best_token"), &arguments);
        }
        let bins = self.place(Place::Bins, 4 * (BINS + STATE_WORDS))?;
        let arguments = FewArgs {
            logits,
            count: count as u32,
            k: u32::try_from(k).unwrap_or(u32::MAX),
            bins,
            state: bins + 4 * BINS as u64,
            found,
            room: ROOM as u32,
        };
        self.gpu.launch(&launch("count_bins"), &arguments)?;
        self.gpu.launch(&launch("gather_few"), &arguments)
    }

    /// What [`Work::choose`] has found; it is waited for.
    fn chosen(&self, row: usize, k: usize) -> Likely {
        let all = &self.found.all()[row * FOUND_WORDS..][..FOUND_WORDS];
        let (first, bad) = (all[0], all[1] != 0);
        if bad {
            return Likely::NoNumber;
        }
        if k <= 1 {
            // Its logit does not matter: nothing stands beside it.
            return Likely::Tokens(vec![(first, 0.0)]);
        }
        let number = first as usize;
        if number > ROOM {
            return Likely::TooMany;
        }
        let tokens = all[2..2 + 2 * number].chunks_exact(2);
        let tokens: Vec<_> = tokens
            .map(|pair| (pair[0], f32::from_bits(pair[1])))
            .collect();
        match tokens.iter().any(|(_, logit)| logit.is_finite()) {
            true => Likely::Tokens(tokens),
            false => Likely::NoNumber,
        }
    }

    /// Waits for the step and gives its `count` logits.
    ///
    /// # Errors
    /// What failed in the step.
    pub fn logits(&mut self, count: usize) -> Result<&[f32], GpuError> {
        let count = count.min(self.logits.len());
        let from = self.held(Place::Logits)?.address();
        self.gpu.enter()?;
        // SAFETY: both have room for `count` numbers, and the stream is waited for.
        check("cuMemcpyDtoH", unsafe {
            sys::cuMemcpyDtoHAsync_v2(
                self.logits.address() as *mut _,
                from,
                4 * count,
                self.gpu.stream,
            )
        })?;
        self.gpu.synchronize()?;
        Ok(&self.logits.all()[..count])
    }
}
