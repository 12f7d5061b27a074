use std::cell::RefCell;

/// Random bytes of the operating system, for values that have to be unguessable only while they serve.
///
/// Drawn in batches, for a call of the system costs more than the bytes. What was given out is erased here. Not for
/// long-lived secrets, and not for a process that goes on as two after `fork`: both would draw the same.
///
/// # Panics
/// When the operating system gives no random bytes, which no safe program can go on from.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= BATCH) };
    POOL.with_borrow_mut(|pool| {
        if pool.left < N {
            getrandom::fill(&mut pool.bytes).expect("the operating system gives random bytes");
            pool.left = BATCH;
        }
        let start = pool.left - N;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&pool.bytes[start..pool.left]);
        pool.bytes[start..pool.left].fill(0);
        pool.left = start;
        bytes
    })
}

const BATCH: usize = 256;

struct Pool {
    bytes: [u8; BATCH],
    /// How many of them have not been given out.
    left: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool {
            bytes: [0; BATCH],
            left: 0,
        })
    };
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bytes_are_given_twice() {
        let values: HashSet<[u8; 12]> = (0..1000).map(|_| random_bytes()).collect();
        assert_eq!(values.len(), 1000);
        assert!(
            values
                .iter()
                .all(|value| value.iter().any(|byte| *byte != 0))
        );
    }
}
