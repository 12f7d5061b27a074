use session_core::{Composed, MemoryLocker, MemoryRecords, MemoryStore};
use session_testkit::{FakeClock, Yielding, primary_store_suite};

use crate::fixtures::{Memory, RealTime};

mod memory_store {
    use super::*;
    primary_store_suite!(Memory<MemoryStore, FakeClock>);
}

mod memory_store_in_real_time {
    use super::*;
    primary_store_suite!(Memory<MemoryStore, RealTime>);
}

mod memory_store_that_yields {
    use super::*;
    primary_store_suite!(Memory<Yielding<MemoryStore>, FakeClock>);
}

mod composed {
    use super::*;
    primary_store_suite!(Memory<Composed<MemoryRecords, MemoryLocker>, FakeClock>);
}

mod composed_of_parts_that_yield {
    use super::*;
    primary_store_suite!(
        Memory<Composed<Yielding<MemoryRecords>, Yielding<MemoryLocker>>, FakeClock>
    );
}
