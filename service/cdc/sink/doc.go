// Package sink delivers the changes of sources to destinations outside the program. Each destination is a package below
// this one. See DESIGN.md.
package sink
