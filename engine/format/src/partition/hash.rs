//! The hashes that decide: Java's of a string, Canal's remainder of it, and Kafka's of a key.

/// Canal's remainder: `abs(abs(hash) % count)` in Java's wrapping arithmetic.
pub(super) fn canal_remainder(hash: i32, count: i32) -> i32 {
    (hash.wrapping_abs() % count).abs()
}

/// Kafka's `Utils.toPositive(Utils.murmur2(key))`: Austin Appleby's MurmurHash2 of 32 bits with Kafka's seed, without its sign.
pub(super) fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (blocks, rest) = key.as_chunks::<4>();
    for block in blocks {
        let mut k = u32::from_le_bytes(*block).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as i32
}

/// Goes on with Java's `String.hashCode` from the hash of what came before: 31·h + u over the units of UTF-16.
pub(super) fn java_hash(mut hash: i32, utf8: &[u8]) -> i32 {
    // Eight steps in one: h·31⁸ + u₀·31⁷ + … + u₇. The products do not wait for each other.
    const POWERS: [i32; 9] = {
        let mut powers = [1_i32; 9];
        let mut exponent = 1;
        while exponent < 9 {
            powers[exponent] = powers[exponent - 1].wrapping_mul(31);
            exponent += 1;
        }
        powers
    };
    let step = |hash: i32, unit: u32| hash.wrapping_mul(31).wrapping_add(unit as i32);
    if utf8.is_ascii() {
        let (blocks, rest) = utf8.as_chunks::<8>();
        for block in blocks {
            let mut sum = hash.wrapping_mul(POWERS[8]);
            for (index, &byte) in block.iter().enumerate() {
                sum = sum.wrapping_add((byte as i32).wrapping_mul(POWERS[7 - index]));
            }
            hash = sum;
        }
        return rest.iter().fold(hash, |hash, &byte| step(hash, byte.into()));
    }
    let text = str::from_utf8(utf8).expect("the text of a value is UTF-8");
    text.encode_utf16().fold(hash, |hash, unit| step(hash, unit.into()))
}
