use super::*;

/// Numbers that look like none.
fn noise(len: usize) -> impl Iterator<Item = u32> {
    let mut state = 12345u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    })
    .take(len)
}

fn bytes(len: usize) -> Vec<u8> {
    noise(len).map(|x| x as u8).collect()
}

/// `lines` sums of up to `most` lines out of `source`, some beyond the range of a byte.
fn taps(lines: usize, source: usize, most: usize) -> Taps {
    let mut taps = Taps::default();
    for (i, x) in noise(lines).enumerate() {
        let count = 1 + x as usize % most.min(source);
        let first = (x >> 8) as usize % (source - count + 1);
        let weights = noise(count + i).skip(i).map(|w| {
            let unit = 1 << WEIGHT_BITS;
            (w as i32 % unit - unit / 4) / count as i32
        });
        taps.push(first, weights);
    }
    taps
}

/// One byte at a time.
fn reference(
    lines: usize,
    taps: &Taps,
    source: impl Fn(usize, usize) -> u8,
    across: usize,
) -> Vec<u8> {
    let mut out = Vec::new();
    for line in 0..lines {
        for i in 0..across {
            let (first, weights) = taps.line(line);
            let mut sum = 1i64 << (WEIGHT_BITS - 1);
            for (t, w) in weights.iter().enumerate() {
                sum += i64::from(*w) * i64::from(source(first + t, i));
            }
            out.push((sum >> WEIGHT_BITS).clamp(0, 255) as u8);
        }
    }
    out
}

#[test]
fn rows_and_columns_are_what_the_sums_say() {
    for (width, height, lines, most) in [
        (1, 1, 1, 1),
        (5, 3, 7, 3),
        (16, 16, 16, 4),
        (17, 33, 5, 9),
        (67, 130, 31, 20),
        (340, 20, 100, 3),
        (41, 7, 301, 1),
    ] {
        let rgb = bytes(width * height * 3);
        let down = taps(lines, height, most);
        let along = taps(lines, width, most);
        let rows = reference(lines, &down, |y, i| rgb[y * width * 3 + i], width * 3);
        for simd in Simd::available() {
            assert_eq!(resize_rows(simd, &rgb, width, &down), rows);
            let columns = resize_columns(simd, &rgb, width, &along);
            for (row, out) in rgb.chunks(width * 3).zip(columns.chunks_exact(lines * 3)) {
                let expected = reference(lines, &along, |x, c| row[x * 3 + c], 3);
                assert_eq!(out, expected, "{width}x{height} to {lines}");
            }
        }
    }
}
