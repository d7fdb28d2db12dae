//! Requester, test requester and test server: what runs in server-requesting Pods and in suites
