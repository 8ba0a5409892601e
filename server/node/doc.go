// Package node is where the parts meet: settings, wiring, start, drain, health and metrics. It has no logic of its own.
//
// [Load] makes a [Config] of flags and environment; [New] opens the database and takes the port; [Node.Run] serves until its context ends and
// then drains: not ready any more, goodbye to streams, an end to what was accepted, and only then the store. Package nodetest starts
// whole nodes for tests of other packages.
package node
