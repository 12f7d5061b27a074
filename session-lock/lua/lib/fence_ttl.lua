-- A fence is remembered for 24 h past the last grant, give or take the last hour; then the clock takes its place.
local fence_ttl_ms, fence_kept_ms = 86400000, 82800000
