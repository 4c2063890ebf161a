//! Products of many tokens with a matrix, by cuBLASLt.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cudarc::cublaslt::{result, sys as lt};
use cudarc::driver::sys::CUstream;

use super::error::GpuError;
use super::memory::Address;
use crate::kernels::planes::Kind;

/// Scratch memory that its algorithms may take, bytes: what NVIDIA advises for Hopper.
pub(super) const SCRATCH: usize = 32 << 20;

/// cuBLASLt, and the algorithm it advises for each product that was seen.
pub struct Blas {
    handle: lt::cublasLtHandle_t,
    plans: Mutex<HashMap<(Product, [u32; 3]), Plan>>,
}

// SAFETY: cuBLASLt's handle may be used by any thread; plans are behind a lock.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

/// `out [tokens, rows] (+)= x [tokens, width] · Wᵀ`, `W` `[rows, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Product {
    pub rows: usize,
    pub width: usize,
    pub tokens: usize,
    /// Of `x` and `W`: F32, F16 or BF16.
    pub kind: Kind,
    /// Of `out`: F32, or that of `x`.
    pub out: Kind,
    /// Numbers from one row of `out` to the next.
    pub stride: usize,
    /// Added to what is there.
    pub add: bool,
}

#[derive(Clone, Copy)]
struct Plan {
    operation: lt::cublasLtMatmulDesc_t,
    matrix: lt::cublasLtMatrixLayout_t,
    x: lt::cublasLtMatrixLayout_t,
    out: lt::cublasLtMatrixLayout_t,
    algorithm: lt::cublasLtMatmulAlgo_t,
}

/// Where the operands of a product lie.
pub(super) struct Operands {
    pub matrix: Address,
    pub x: Address,
    pub out: Address,
    pub scratch: Address,
}

/// Bytes that an operand's address is a multiple of, as far as cuBLASLt wants to know it: where it is told nothing it
/// takes 256 for granted.
fn alignment(address: Address) -> u32 {
    1 << address.trailing_zeros().min(8)
}

/// What cuBLASLt's statuses mean; a newer one may have others.
const STATUSES: [(u32, &str); 8] = [
    (1, "not initialised"),
    (7, "invalid value"),
    (8, "architecture mismatch"),
    (11, "mapping error"),
    (13, "execution failed"),
    (14, "internal error"),
    (15, "not supported"),
    (16, "licence error"),
];

fn failed(error: result::CublasError) -> GpuError {
    let call = "cuBLASLt";
    let status = error.0 as u32;
    if status == lt::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED as u32 {
        return GpuError::NoMemory { call };
    }
    let known = STATUSES.iter().find(|(number, _)| *number == status);
    GpuError::Failed {
        call,
        reason: match known {
            Some((_, meaning)) => (*meaning).to_string(),
            None => format!("status {status}"),
        },
    }
}

/// The calls that are made here: one that the library lacks would end the process.
const CALLS: [&str; 12] = [
    "cublasLtCreate",
    "cublasLtDestroy",
    "cublasLtMatmul",
    "cublasLtMatmulAlgoGetHeuristic",
    "cublasLtMatmulDescCreate",
    "cublasLtMatmulDescDestroy",
    "cublasLtMatmulDescSetAttribute",
    "cublasLtMatmulPreferenceCreate",
    "cublasLtMatmulPreferenceDestroy",
    "cublasLtMatmulPreferenceSetAttribute",
    "cublasLtMatrixLayoutCreate",
    "cublasLtMatrixLayoutDestroy",
];

/// The first of [`CALLS`] that the library does not have.
fn missing() -> Option<&'static str> {
    // SAFETY: the library is there, as the caller has seen; the addresses are only looked up.
    let has = |name: &str| unsafe {
        let library = lt::culib();
        library
            .get::<unsafe extern "C" fn()>(name.as_bytes())
            .is_ok()
    };
    CALLS.into_iter().find(|name| !has(name))
}

impl Blas {
    pub(super) fn open() -> Result<Self, GpuError> {
        // SAFETY: only tries to open the library.
        if !unsafe { lt::is_culib_present() } {
            return Err(GpuError::Unsupported(
                "libcublasLt was not found; install the CUDA toolkit's libraries, or put their folder into LD_LIBRARY_PATH".into(),
            ));
        }
        if let Some(name) = missing() {
            return Err(GpuError::Unsupported(format!(
                "the libcublasLt that was found has no {name}; install that of CUDA 12 or newer"
            )));
        }
        Ok(Self {
            handle: result::create_handle().map_err(failed)?,
            plans: Mutex::default(),
        })
    }

    /// Puts a product on the stream.
    pub(super) fn multiply(
        &self,
        product: &Product,
        at: &Operands,
        stream: CUstream,
    ) -> Result<(), GpuError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (*product, [at.matrix, at.x, at.out].map(alignment));
        let plan = match plans.get(&key) {
            Some(plan) => *plan,
            None => {
                let plan = self.plan(product, key.1)?;
                plans.insert(key, plan);
                plan
            }
        };
        drop(plans);
        let (alpha, beta) = (1f32, if product.add { 1f32 } else { 0f32 });
        // SAFETY: the plan's layouts describe the operands, whose sizes the caller vouches for.
        unsafe {
            result::matmul(
                self.handle,
                plan.operation,
                std::ptr::from_ref(&alpha).cast(),
                std::ptr::from_ref(&beta).cast(),
                at.matrix as *const _,
                plan.matrix,
                at.x as *const _,
                plan.x,
                at.out as *const _,
                plan.out,
                at.out as *mut _,
                plan.out,
                &plan.algorithm,
                at.scratch as *mut _,
                SCRATCH,
                stream.cast(),
            )
        }
        .map_err(failed)
    }

    /// Row by row is column by column of the transpose: `outᵀ = W · xᵀ`.
    fn plan(&self, product: &Product, aligned: [u32; 3]) -> Result<Plan, GpuError> {
        let kind = |kind| match kind {
            Kind::F16 => lt::cudaDataType::CUDA_R_16F,
            Kind::BF16 => lt::cudaDataType::CUDA_R_16BF,
            _ => lt::cudaDataType::CUDA_R_32F,
        };
        let (rows, width, tokens) = (
            product.rows as u64,
            product.width as u64,
            product.tokens as u64,
        );
        // SAFETY: attributes are set with the sizes of their types, on handles that were just made.
        unsafe {
            let operation = result::create_matmul_desc(
                lt::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                lt::cudaDataType::CUDA_R_32F,
            )
            .map_err(failed)?;
            let transposed = 1i32;
            result::set_matmul_desc_attribute(
                operation,
                lt::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
                std::ptr::from_ref(&transposed).cast(),
                std::mem::size_of::<i32>(),
            )
            .map_err(failed)?;
            let layout = |kind, rows, columns, stride| {
                result::create_matrix_layout(kind, rows, columns, stride).map_err(failed)
            };
            let matrix = layout(kind(product.kind), width, rows, width as i64)?;
            let x = layout(kind(product.kind), width, tokens, width as i64)?;
            let out = layout(kind(product.out), rows, tokens, product.stride as i64)?;
            let preference = result::create_matmul_pref().map_err(failed)?;
            result::set_matmul_pref_attribute(
                preference,
                lt::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                std::ptr::from_ref(&SCRATCH).cast(),
                std::mem::size_of::<usize>(),
            )
            .map_err(failed)?;
            use lt::cublasLtMatmulPreferenceAttributes_t as Preference;
            let [matrix_bytes, x_bytes, out_bytes] = aligned;
            for (which, bytes) in [
                (
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                    matrix_bytes,
                ),
                (
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                    x_bytes,
                ),
                (
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                    out_bytes,
                ),
                (
                    Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                    out_bytes,
                ),
            ] {
                result::set_matmul_pref_attribute(
                    preference,
                    which,
                    std::ptr::from_ref(&bytes).cast(),
                    std::mem::size_of::<u32>(),
                )
                .map_err(failed)?;
            }
            let advised = result::get_matmul_algo_heuristic(
                self.handle,
                operation,
                matrix,
                x,
                out,
                out,
                preference,
            );
            result::destroy_matmul_pref(preference).map_err(failed)?;
            Ok(Plan {
                operation,
                matrix,
                x,
                out,
                algorithm: advised.map_err(failed)?.algo,
            })
        }
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        let plans = self.plans.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by the matching calls, destroyed once, and used by nothing any more.
        unsafe {
            for plan in plans.values() {
                for layout in [plan.matrix, plan.x, plan.out] {
                    let _ = result::destroy_matrix_layout(layout);
                }
                let _ = result::destroy_matmul_desc(plan.operation);
            }
            let _ = result::destroy_handle(self.handle);
        }
    }
}
