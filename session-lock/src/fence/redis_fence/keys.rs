//! The only place that spells the key of a fence.

/// The key under which the largest token for `key` stands: in the same slot of a cluster. `None` where there is no such
/// name: `key` is empty, or has a `}` but no hash tag.
///
/// Source: Redis Cluster specification, "Hash tags": what stands between the first `{` and the first `}` after it, if that
/// is not empty, decides the slot.
pub(super) fn fence_of(key: &[u8]) -> Option<Vec<u8>> {
    if has_hash_tag(key) {
        return Some([key, SUFFIX].concat());
    }
    let may_be_tag = !key.is_empty() && !key.contains(&b'}');
    may_be_tag.then(|| [b"{", key, b"}", SUFFIX].concat())
}

const SUFFIX: &[u8] = b":fence";

fn has_hash_tag(key: &[u8]) -> bool {
    let mut parts = key.splitn(2, |byte| *byte == b'{').skip(1);
    let end = parts
        .next()
        .and_then(|rest| rest.iter().position(|byte| *byte == b'}'));
    end.is_some_and(|end| end > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_has_the_hash_tag_of_its_key() {
        for (key, fence) in [
            ("invoice", "{invoice}:fence"),
            ("invoice:{17}", "invoice:{17}:fence"),
            ("{17}:{18}", "{17}:{18}:fence"),
            ("a{b", "{a{b}:fence"),
            ("}{17}", "}{17}:fence"),
        ] {
            let found = fence_of(key.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), fence, "{key}");
        }
    }

    #[test]
    fn keys_whose_slot_no_hash_tag_can_name_have_no_fence() {
        for key in ["", "a}", "{}", "a{}{b}", "}{"] {
            assert_eq!(fence_of(key.as_bytes()), None, "{key}");
        }
    }
}
