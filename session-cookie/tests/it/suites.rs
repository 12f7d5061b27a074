use session_testkit::carried_store_suite;

use crate::fixtures::{Aead, Cookie, Endless, Fernet, Gcm, Jwt, WithList, WithoutList};

mod aead {
    use super::*;
    carried_store_suite!(Cookie<Aead, WithoutList>);
}

mod aead_with_a_revocation_list {
    use super::*;
    carried_store_suite!(Cookie<Aead, WithList>);
}

mod aead_by_aes_gcm {
    use super::*;
    carried_store_suite!(Cookie<Gcm, WithoutList>);
}

mod fernet {
    use super::*;
    carried_store_suite!(Cookie<Fernet, WithoutList>);
}

mod fernet_with_a_revocation_list {
    use super::*;
    carried_store_suite!(Cookie<Fernet, WithList>);
}

mod jwt {
    use super::*;
    carried_store_suite!(Cookie<Jwt, WithoutList>);
}

mod jwt_with_a_revocation_list {
    use super::*;
    carried_store_suite!(Cookie<Jwt, WithList>);
}

mod jwt_without_expiry {
    use super::*;
    carried_store_suite!(Cookie<Endless, WithoutList>);
}
