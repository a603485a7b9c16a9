// Command receiver takes orders that a webhook posts: it checks the signature, drops repetitions, and applies each order once.
// Every third request it answers that it has no time now.
//
//	HOOK_SECRET=… go run ./examples/webhook/receiver ADDRESS COUNT
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// change is what of a record this program looks at.
type change struct {
	After *struct {
		ID   int    `json:"id"`
		Item string `json:"item"`
	} `json:"after"`
	Source struct {
		Cursor string `json:"cursor"`
	} `json:"source"`
}

// receiver keeps the orders. A real one keeps newest in the database to which it writes the orders, in the same transaction.
type receiver struct {
	secret   []byte
	newest   string
	orders   int
	requests int
	// done is called when there are enough.
	enough int
	done   context.CancelFunc
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: receiver ADDRESS COUNT")
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r := &receiver{secret: []byte(os.Getenv("HOOK_SECRET")), enough: count, done: cancel}
	server := &http.Server{Addr: os.Args[1], Handler: r, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(closing)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	fmt.Printf("receiver: %d orders, each once\n", r.orders) //nolint:forbidigo // it is its output
}

// ServeHTTP implements http.Handler. The sink sends one request at a time.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 4<<20))
	if err != nil || !r.signed(request.Header, body) {
		http.Error(w, "it is not signed as it should be", http.StatusUnauthorized)
		return
	}
	if r.requests++; r.requests%3 == 0 {
		w.Header().Set("Retry-After", "0")
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	var changes []change
	if err := json.Unmarshal(body, &changes); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, c := range changes { // all or nothing
		if c.After != nil && c.After.Item == "poison" {
			http.Error(w, "it is not sold any more", http.StatusUnprocessableEntity)
			return
		}
	}
	for _, c := range changes {
		if c.After == nil || c.Source.Cursor <= r.newest { // it came already
			continue
		}
		r.newest = c.Source.Cursor
		r.orders++
	}
	if r.orders >= r.enough {
		r.done()
	}
}

// signed checks the signature: https://github.com/standard-webhooks/standard-webhooks.
func (r *receiver) signed(h http.Header, body []byte) bool {
	at, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, r.secret)
	_, _ = fmt.Fprintf(mac, "%s.%d.%s", h.Get("Webhook-Id"), at, body) // a hash never fails
	given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"))
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}
