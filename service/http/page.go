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
				http.ServeContent(w, r, path, time.Time{}, bytes.NewReader(content))
			})
		}
		return err
	})
}
