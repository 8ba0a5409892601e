package faults

// unlimited lifts the limits that hold abuse back: a fleet is many users at one address.
var unlimited = []string{}
