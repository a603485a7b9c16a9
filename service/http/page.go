package http

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"time"
)

// page is the page for browsers, as it is: there is no build step. index.html is what GET / answers; it finds all else
// below /page/.
//
//go:embed page
var page embed.FS

// pagePolicy lets the page use its own files and this API, and nothing else; a text can become neither a script nor an
// element.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// addPage adds a route for each file of the page, and none for anything else.
func addPage(mux *http.ServeMux) {
	_ = fs.WalkDir(page, "page", func(path string, entry fs.DirEntry, err error) error { // what is embedded can be read
		if err == nil && !entry.IsDir() {
			route := "GET /" + path
			if path == "page/index.html" {
				route = "GET /{$}"
			}
			mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
				content, err := page.ReadFile(path)
				if err != nil {
					fail(w, r, err)
					return
				}
				w.Header().Set("Content-Security-Policy", pagePolicy)
				http.ServeContent(w, r, path, time.Time{}, bytes.NewReader(content))
			})
		}
		return err
	})
}
