package main

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
	"github.com/courier-profiles/courier-go/couriertest"
)

//go:embed page.html page.css page.js
var files embed.FS

// eventPause is the least time between two events of a page, which reads itself again
// after each.
const eventPause = 300 * time.Millisecond

// page shows what the fake receives and holds, and sets its faults.
type page struct {
	fake     *couriertest.Handler
	journal  *journal
	template *template.Template
	closing  <-chan struct{} // ends the streams of events
}

func newPage(fake *couriertest.Handler, journal *journal, closing <-chan struct{}) *page {
	html := template.New("page.html").Funcs(template.FuncMap{"short": short})
	return &page{
		fake: fake, journal: journal, closing: closing,
		template: template.Must(html.ParseFS(files, "page.html")),
	}
}

// isPage reports whether a path is one of the page, or one that browsers and their
// developer tools ask for by themselves. All others are requests to the API, those that
// it does not know too, so that they are seen.
func isPage(path string) bool {
	return path == "/" || strings.HasPrefix(path, "/ui/") ||
		path == "/favicon.ico" || strings.HasPrefix(path, "/.well-known/")
}

// handler returns the routes of the page.
func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.requests)
	mux.HandleFunc("GET /ui/profiles", p.profiles)
	mux.HandleFunc("GET /ui/faults", p.faults)
	mux.HandleFunc("POST /ui/faults", p.setFaults)
	mux.HandleFunc("POST /ui/faults/remove", p.removeFaults)
	mux.HandleFunc("POST /ui/clear", p.clear)
	mux.HandleFunc("GET /ui/events", p.events)
	for _, name := range []string{"page.css", "page.js"} {
		mux.HandleFunc("GET /ui/"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, files, name)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; "+
			"style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "+
			"base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// view is what every page has.
type view struct {
	Page, Title string
	BaseURL     string
	APIKey      string
	Curl        string
	FaultCount  int
	Content     any
}

// show writes a page.
func (p *page) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.BaseURL, v.APIKey = "http://"+r.Host, p.fake.APIKey
	v.Curl = fmt.Sprintf("curl %s \\\n  -H %s \\\n  -d %s",
		job.Quote(v.BaseURL+"/profiles/user-1"),
		job.Quote("Authorization: Bearer "+v.APIKey),
		job.Quote(`{"profile": {"email": "ada@example.com"}}`))
	_, v.FaultCount = faultQueues(p.fake.Faults())
	var html bytes.Buffer
	if err := p.template.ExecuteTemplate(&html, "page.html", v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(html.Bytes()) // fails if the browser has gone away
}

func (p *page) clear(w http.ResponseWriter, r *http.Request) {
	p.fake.Clear()
	p.journal.clear()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// events sends an event for each change, until the browser goes away or the server
// closes. The first one comes at once: it stands for what a page missed before it was
// connected.
func (p *page) events(w http.ResponseWriter, r *http.Request) {
	changed, stop := p.journal.watch()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(w)
	for text := "retry: 1000\ndata: changed\n\n"; ; { // connect again after a second
		_ = stream.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprint(w, text); err != nil {
			return
		}
		if stream.Flush() != nil {
			return
		}
		if !p.wait(r, eventPause) {
			return
		}
		select {
		case <-changed:
			text = "data: changed\n\n"
		case <-time.After(15 * time.Second):
			text = ": still here\n\n" // fails if the browser has gone away
		case <-r.Context().Done():
			return
		case <-p.closing:
			return
		}
	}
}

// wait waits, and reports whether the stream goes on.
func (p *page) wait(r *http.Request, pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-r.Context().Done():
		return false
	case <-p.closing:
		return false
	}
}
