package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/listen"
)

// SocketHost is what requests by the socket have as their host.
const SocketHost = "wippy"

// guard lets requests through that are meant for the app and may ask it.
type guard struct {
	next http.Handler
	// socket is whether it is that of the socket.
	socket bool
	// token is what requests must have, "" if they need none; session is the value of the cookie of that name that stands
	// for it.
	token, cookie, session string
}

// newGuard returns the guard of one door; address is nil for the socket.
func newGuard(address net.Addr, token string, next http.Handler) *guard {
	g := &guard{next: next, token: token, socket: address == nil}
	if tcp, ok := address.(*net.TCPAddr); ok { // cookies are shared by all ports of a host
		g.cookie = "wippy-" + strconv.Itoa(tcp.Port)
	}
	if token != "" {
		mac := hmac.New(sha256.New, []byte(token))
		mac.Write([]byte("wippy session"))
		g.session = hex.EncodeToString(mac.Sum(nil))
	}
	return g
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if err := g.meant(r); err != nil {
		fail(w, r, err)
		return
	}
	if g.token != "" && !g.known(r) && !g.open(w, r) {
		return
	}
	g.next.ServeHTTP(w, r)
}

// protect sets what browsers are to do with an answer: keep it to the page of the app.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, forms of our own have the origin null
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// meant says why a request is not meant for this app: a page of another site has made a browser send it.
func (g *guard) meant(r *http.Request) error {
	host := hostname(r.Host)
	ours := listen.IsLoopback(host) || g.token != "" || g.socket && host == SocketHost
	if host == "" || !ours {
		return errs.New(errs.PermissionDenied, "http: the host %q is not this app: use localhost or 127.0.0.1 in the address", r.Host)
	}
	if origin, given := r.Header["Origin"]; given {
		if len(origin) != 1 || !sameOrigin(origin[0], r.Host) {
			return errs.New(errs.PermissionDenied, "http: a page of another site must not use this app (Origin %q, Host %q): "+
				"if it is the app's own, by a proxy, make that pass on the header Host", strings.Join(origin, ", "), r.Host)
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case site == "" || site == "same-origin" || site == "none":
		return nil
	case r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate":
		return nil // a link to the page, which has nothing in it
	default:
		return errs.New(errs.PermissionDenied, "http: a page of another site must not use this app (Sec-Fetch-Site %q)", site)
	}
}

// hostname returns a host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host == host
}

// known reports whether a request has the token, or the cookie that stands for it.
func (g *guard) known(r *http.Request) bool {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return equal(strings.TrimSpace(token), g.token)
	}
	for _, c := range r.CookiesNamed(g.cookie) {
		if equal(c.Value, g.session) {
			return true
		}
	}
	return false
}

// equal compares in a time that depends on neither text, nor on how long they are.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
