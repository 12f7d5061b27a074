use session_core::{Composed, MemoryLocker, MemoryRecords, MemoryStore, RedlockLocker};
use session_testkit::{
    FakeClock, Yielding, locker_suite, primary::InJson, primary::Sealed, primary_store_suite,
    record_store_suite,
};

use crate::fixtures::{Half, Memory, RealTime};

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

mod sealed_in_memory {
    use super::*;
    primary_store_suite!(Sealed<Memory<Yielding<MemoryStore>, FakeClock>>);
}

mod as_json_in_memory {
    use super::*;
    primary_store_suite!(InJson<Memory<Yielding<MemoryStore>, FakeClock>>);
}

mod sealed_as_json_in_memory {
    use super::*;
    primary_store_suite!(Sealed<InJson<Memory<MemoryStore, FakeClock>>>);
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

mod memory_records {
    use super::*;
    record_store_suite!(Half<Yielding<MemoryRecords>>);
}

mod memory_secondary {
    session_testkit::secondary_store_suite!(crate::fixtures::Second);
}

mod written_through_from_memory {
    use super::*;
    session_testkit::write_through_suite!(Memory<MemoryStore, RealTime>);
}

mod written_through_from_a_composed_store {
    use super::*;
    session_testkit::write_through_suite!(
        Memory<Composed<Yielding<MemoryRecords>, Yielding<MemoryLocker>>, FakeClock>
    );
}

mod memory_locker {
    use super::*;
    locker_suite!(Half<MemoryLocker>);
}

mod memory_locker_that_yields {
    use super::*;
    locker_suite!(Half<Yielding<MemoryLocker>>);
}

mod redlock_locker {
    use super::*;
    locker_suite!(Half<RedlockLocker>);
}
