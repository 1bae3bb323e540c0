// Courier-fake serves package couriertest, the in-memory fake of the Profiles API,
// to programs in any language, and shows what they send on a page.
//
//	go run -C cmd ./courier-fake -addr 127.0.0.1:8080
//
// Once it listens, it prints its address and key, under the names that Courier's
// clients read from the environment, and the address of the page:
//
//	COURIER_BASE_URL=http://127.0.0.1:8080
//	COURIER_API_KEY=test-api-key
//	# see the requests at http://127.0.0.1:8080/
//
// Port 0 takes any free port, for scripts that read these lines. Profiles and
// subscriptions are kept in memory until SIGINT or SIGTERM ends the server, which
// finishes the requests in flight; a second signal ends it at once.
// Scripts that end it must build it first, because go run does not pass SIGTERM on.
//
// The page shows the latest 500 requests as they come, what each changed, and all
// profiles, and it makes the next requests fail. On the loopback interface, only
// requests to localhost, 127.0.0.1, [::1] and the host in -addr are served. With an
// -addr of a network, anyone who can reach it sees what is sent. What web pages from
// other origins send is always refused, except for GET, whose response they cannot read.
//
// With -fail, the first requests get the given statuses and change nothing, to test
// how a client handles them. With
//
//	go run -C cmd ./courier-fake -fail 429,503
//
// the first request gets a 429, the second, which may be a retry of the first, a
// 503, and all others what they ask for. Errors that a request itself causes,
// such as a 400 for an invalid body, need no flag.
//
// With -delay 100ms, each request takes 100 ms, as it may with Courier. Requests
// do not wait for each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
	"github.com/courier-profiles/courier-go/couriertest"
)

func main() {
	ctx, drain, stop := job.Signals(context.Background())
	err := run(ctx, drain, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		os.Exit(job.Fail(os.Stderr, err))
	}
}

const usage = `Serves an in-memory fake of Courier's Profiles API to programs in any language,
and a page that shows what they send and makes requests fail.

	courier-fake [flags]

It prints COURIER_BASE_URL and COURIER_API_KEY, which point a program at it, and the
address of the page. Everything is in memory until Ctrl-C or SIGTERM.

Flags:
`

// run serves until drain ends, and then finishes the requests in flight, unless ctx
// ends before.
func run(ctx, drain context.Context, args []string, out io.Writer) error {
	handler := couriertest.NewHandler()
	handler.MaxRequests = -1 // nobody asks for them
	flags := flag.NewFlagSet("courier-fake", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	flags.StringVar(&handler.APIKey, "key", handler.APIKey, "API `key` to accept")
	delay := flags.Duration("delay", 0, "`time` that each request takes, such as 100ms")
	const failUsage = "`statuses` of the first responses, such as 429,503"
	flags.Func("fail", failUsage, func(list string) error {
		for text := range strings.SplitSeq(list, ",") {
			status, err := strconv.Atoi(text)
			if err != nil || status < 400 || status > 599 {
				return errors.New("use statuses from 400 to 599 with commas between them")
			}
			handler.Fail(couriertest.Fault{Status: status})
		}
		return nil
	})
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	_ = flags.Parse(args) // exits on an error
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: use only flags (see -help)", flags.Arg(0))
	case handler.APIKey == "":
		return errors.New("-key is empty: no request could have that key")
	case *delay < 0:
		return errors.New("-delay is negative: use 0 or more")
	}

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	url := baseURL(listener.Addr())
	fmt.Fprintf(out, "COURIER_BASE_URL=%s\n", url)
	fmt.Fprintf(out, "COURIER_API_KEY=%s\n", handler.APIKey)
	fmt.Fprintf(out, "# see the requests at %s/\n", url)

	requests := &journal{}
	handler.OnRequest = func(exchange couriertest.Exchange) {
		exchange.Start = exchange.Start.Add(-*delay)
		exchange.Duration += *delay
		requests.add(exchange)
	}
	closing := make(chan struct{})
	page := newPage(handler, requests, closing).handler()
	api := delayed(handler, *delay)
	server := &http.Server{
		Handler: guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isPage(r.URL.Path) {
				page.ServeHTTP(w, r)
			} else {
				api.ServeHTTP(w, r)
			}
		}), *addr, listener.Addr()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30*time.Second + *delay + maxDelay,
		IdleTimeout:       2 * time.Minute,
	}
	server.RegisterOnShutdown(func() { close(closing) })
	stopped := make(chan error, 1)
	context.AfterFunc(drain, func() {
		grace, cancel := context.WithTimeout(ctx, 10*time.Second+*delay+maxDelay)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// baseURL returns the URL of a listener for programs on this machine. Where it listens on
// all interfaces, its own address, such as [::]:8080, is not one that all of them can use.
func baseURL(listensOn net.Addr) string {
	host, port, _ := net.SplitHostPort(listensOn.String()) // a TCP address has both
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// delayed serves each request after a delay, unless its client goes away first.
func delayed(next http.Handler, delay time.Duration) http.Handler {
	if delay == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
