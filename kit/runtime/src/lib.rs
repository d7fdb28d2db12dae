//! What every Dormouse process needs: clock, logs, shutdown, HTTP serving with time-outs, TLS provider, output
