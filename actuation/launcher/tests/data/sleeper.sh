#!/bin/sh
# An engine for tests: ignores its options, ends at SIGTERM.
exec sleep 60
