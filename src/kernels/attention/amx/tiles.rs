//! Sums of products of tiles.

use std::arch::asm;

use crate::kernels::float::arithmetic::Line;

/// Where an operand of each side begins, in bytes.
pub(super) type Offsets = [usize; 2];

/// An operand: two tiles, the second `other` lines behind the first.
pub(super) struct Side {
    pub start: *const Line,
    pub other: usize,
}

/// `c (+)= Σ a·b` over operands at `offsets`: 32 rows of `a`, `row` lines apart, with 32 of `b`, the sums `[32, 16]` of the
/// second sixteen of `b` lying `c_other` lines behind those of the first.
#[inline(always)]
pub(super) unsafe fn accumulate(
    offsets: &[Offsets],
    a: Side,
    row: usize,
    b: Side,
    c: *mut Line,
    c_other: usize,
    onto: bool,
) {
    assert!(!offsets.is_empty());
    let line = size_of::<Line>();
    asm!(
        "test {onto:e}, {onto:e}",
        "jz 2f",
        "tileloadd tmm0, [{c} + {line}*1]",
        "tileloadd tmm2, [{c} + {line}*1 + 1024]",
        "tileloadd tmm1, [{d} + {line}*1]",
        "tileloadd tmm3, [{d} + {line}*1 + 1024]",
        "jmp 3f",
        "2:",
        "tilezero tmm0",
        "tilezero tmm1",
        "tilezero tmm2",
        "tilezero tmm3",
        "3:",
        "mov {onto}, [{at}]",
        "add {onto}, {a}",
        "tileloadd tmm4, [{onto} + {row}*1]",
        "add {onto}, {lower}",
        "tileloadd tmm5, [{onto} + {row}*1]",
        "mov {onto}, [{at} + 8]",
        "add {onto}, {b}",
        "tileloadd tmm6, [{onto} + {line}*1]",
        "add {onto}, {other}",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm7, [{onto} + {line}*1]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7",
        "add {at}, 16",
        "cmp {at}, {end}",
        "jne 3b",
        "tilestored [{c} + {line}*1], tmm0",
        "tilestored [{c} + {line}*1 + 1024], tmm2",
        "tilestored [{d} + {line}*1], tmm1",
        "tilestored [{d} + {line}*1 + 1024], tmm3",
        at = inout(reg) offsets.as_ptr() => _,
        end = in(reg) offsets.as_ptr().add(offsets.len()),
        a = in(reg) a.start,
        row = in(reg) row * line,
        lower = in(reg) a.other * line,
        b = in(reg) b.start,
        other = in(reg) b.other * line,
        c = in(reg) c,
        d = in(reg) c.add(c_other),
        onto = inout(reg) usize::from(onto) => _,
        line = in(reg) line,
        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
        options(nostack),
    );
}
