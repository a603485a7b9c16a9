// Package http shows a running app to programs outside it, and lets them read its changes: by a unix socket below the app's
// directory, and by TCP if that is asked for. docs/http.md tells what each request answers.
//
// # The way of a request
//
// Server (server.go) owns the listeners and one http.Server for each. Every request, whatever its path, first passes the
// guard (guard.go), which knows by which door it has come: it refuses hosts and origins that are not the app's own, and by
// TCP, if there is a token, requests without it. Only then a route is looked for (routes.go). Answers that describe
// (describe.go) are taken from api.Engine at that moment; nothing is cached, so that an app that is not looked at pays
// nothing.
//
// # Streams
//
// A request for changes (changes.go) is one stream of api.Engine, read by the goroutine of its connection: Poll until there
// is nothing, write what was encoded, wait. There is no queue in between. A client that is slow makes its own stream fall
// behind; the source ends that as it would end that of a script (or, of a durable source, lets it read from the files),
// and neither the writer nor another client waits. A write that is stuck is given up as soon as the client has gone, and a
// while after its stream has ended (writer.go): without a limit for writes as such, because a reader of a durable source may
// take as long as it likes.
//
// The obvious alternative is a hub that reads a source once and copies what it encodes to all clients. It would need a
// queue for each client and a rule of its own for slow ones, and every client has other tables, formats and positions; the
// log of a source already is that hub. What it would save is encoding the same change for each client.
//
// # What is refused, and why
//
// A page of another site can make a browser send requests here. What it can read is guarded by browsers unless the site's
// name leads to this machine (DNS rebinding): hence Host must be a name of this machine, or there is a token, which such a
// page does not have. Requests that a browser marks as coming from elsewhere are refused, even those that only read. A
// token is compared in constant time; it is accepted in the header Authorization, or once by POST /login, which gives the
// browser a cookie that is derived from it. It is never accepted in an address, which histories, logs and referrers keep.
package http
