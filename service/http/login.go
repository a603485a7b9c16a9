package http

import (
	_ "embed"
	"html/template"
	"net/http"

	"github.com/wippy-cdc/runtime/api/errs"
)

//go:embed login.html
var loginPage string

// bodyLimit is how large the body of a request may be.
const bodyLimit = 64 << 10

// open answers a request without a token, or reports that it needs none.
func (g *guard) open(w http.ResponseWriter, r *http.Request) (pass bool) {
	switch r.Method + " " + r.URL.Path {
	case "GET /healthz", "HEAD /healthz":
		return true
	case "GET /readyz", "HEAD /readyz": // for orchestrators, which need the code alone
		g.next.ServeHTTP(&bare{ResponseWriter: w}, r)
	case "GET /":
		showLogin(w, http.StatusUnauthorized, "")
	case "POST /login":
		g.login(w, r)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="wippy"`)
		failWith(w, r, http.StatusUnauthorized, errs.New(errs.PermissionDenied,
			"http: the token is missing or wrong: send it as Authorization: Bearer and the content of the token file"))
	}
	return false
}

// login exchanges the token for a cookie.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	if err := r.ParseForm(); err != nil {
		showLogin(w, http.StatusBadRequest, "The form could not be read.")
		return
	}
	if !equal(r.PostForm.Get("token"), g.token) {
		showLogin(w, http.StatusUnauthorized, "That is not the token.")
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // there is no TLS here; a proxy that has it may add Secure
		Name: g.cookie, Value: g.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func showLogin(w http.ResponseWriter, status int, problem string) {
	page, err := template.New("login").Parse(loginPage)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.Execute(w, problem) // the client has gone
}

// bare is an answer without a body.
type bare struct{ http.ResponseWriter }

// Write implements io.Writer.
func (*bare) Write(b []byte) (int, error) { return len(b), nil }
