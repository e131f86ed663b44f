package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig is the listener for monitoring and for operators' commands. It is for this machine only, unless the operator
// says who else may ask.
type AdminConfig struct {
	Listen      string `name:"listen" help:"Address and port of /metrics, /healthz and /readyz, and of operators' commands." default:"127.0.0.1:9464" placeholder:"HOST:PORT"`
	AllowRemote bool   `name:"allow_remote" help:"Let listen be an address that other machines reach; tokens_file says who may ask. Nothing is encrypted: have a proxy in front, or a network that encrypts." default:"false"`
	TokensFile  string `name:"tokens_file" help:"File of mode 0600 with those who may read (viewer) and command (operator), as \"pushd admin-token\" makes its lines. Read anew for each request. Without it, whoever reaches the listener may read, and commands need the token in store.dir." type:"path" placeholder:"FILE"`
}

// Validate returns all faults; it does not listen.
func (c AdminConfig) Validate() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("admin.listen: %q is not an address with a port, such as 127.0.0.1:9464", c.Listen)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("admin.listen: %q is not a port; write a number from 0 to 65535", port)
	}
	var faults []error
	switch {
	case isLoopback(host):
	case !c.AllowRemote:
		faults = append(faults, fmt.Errorf("admin.listen: %q can be reached from other machines, and nothing is encrypted; listen on 127.0.0.1, or set admin.allow_remote and admin.tokens_file", c.Listen))
	case c.TokensFile == "":
		faults = append(faults, fmt.Errorf("admin.tokens_file: is empty, and %q can be reached from other machines: say who may ask (\"pushd admin-token\" makes a token)", c.Listen))
	}
	if c.TokensFile != "" {
		if _, err := readGrants(c.TokensFile); err != nil {
			faults = append(faults, fmt.Errorf("admin.tokens_file: %w", err))
		}
	}
	return errors.Join(faults...)
}

// isLoopback takes only addresses, and localhost: another name could resolve to anything, and differently tomorrow.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Limits of the admin listener: its clients are a scraper and a few people.
const (
	adminHeaderTimeout = 5 * time.Second
	adminReadTimeout   = 10 * time.Second
	adminWriteTimeout  = 30 * time.Second
	adminIdleTimeout   = 2 * time.Minute
	adminMaxHeader     = 16 << 10 // bytes
	adminMaxBody       = 16 << 10 // bytes
	adminMaxScrapes    = 4
)

// newRegistry is the registry of all metrics of the process, with those of Go, of the process and of the build.
func newRegistry(b build) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "pushd_build_info",
		Help:        "Constant 1; its labels say which build is running.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go_version": b.Go},
	})
	info.Set(1)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return reg
}

// admin serves /metrics, /healthz (the process answers) and /readyz (it does its work), which only read. Once the engine
// runs, control adds what commands it.
type admin struct {
	access   *access
	routes   *http.ServeMux
	server   *http.Server
	listener net.Listener
}

// listenAdmin takes the address; serve answers on it.
func listenAdmin(cfg AdminConfig, reg *prometheus.Registry, ready *readiness, log *slog.Logger) (*admin, error) {
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w", elsewhereIfTaken(err, "--admin.listen"))
	}
	routes := http.NewServeMux()
	a := &admin{
		access:   newAccess(cfg.TokensFile, log),
		routes:   routes,
		listener: listener,
		server: &http.Server{
			Handler:           guarded(routes),
			ReadHeaderTimeout: adminHeaderTimeout,
			ReadTimeout:       adminReadTimeout,
			WriteTimeout:      adminWriteTimeout,
			IdleTimeout:       adminIdleTimeout,
			MaxHeaderBytes:    adminMaxHeader,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
	}
	a.handle("GET /metrics", asViewer, scraped(reg, log))
	a.handle("GET /healthz", anybody, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	}))
	a.handle("GET /readyz", anybody, ready)
	return a, nil
}

// handle puts a route on the listener, for those who have at least a role.
func (a *admin) handle(pattern string, least role, handler http.Handler) {
	a.routes.Handle(pattern, a.access.needs(least, handler))
}

// guarded bounds what a request may bring, and keeps pages of others away from the answers: their scripts may neither send
// what commands (http.CrossOriginProtection) nor have an answer taken for a page.
func guarded(routes http.Handler) http.Handler {
	bounded := http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(routes, adminMaxBody))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		bounded.ServeHTTP(w, r)
	})
}

// elsewhereIfTaken says what to do where an address is taken already.
func elsewhereIfTaken(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; another pushd runs there, or something else: stop it, or choose another address with %s", err, flag)
	}
	return err
}

func scraped(reg *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError, // one broken collector must not hide the others
		Registry:            reg,
		MaxRequestsInFlight: adminMaxScrapes,
		EnableOpenMetrics:   true,
	})
}

// addr is the address that was taken.
func (a *admin) addr() net.Addr { return a.listener.Addr() }

// serve answers until stop; any other end is an error.
func (a *admin) serve() error {
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin listener %s: %w", a.addr(), err)
	}
	return nil
}

// stop lets requests under way end, until ctx ends.
func (a *admin) stop(ctx context.Context) error {
	if err := a.server.Shutdown(ctx); err != nil {
		return errors.Join(err, a.server.Close())
	}
	return nil
}

// writeJSON answers with a value that cannot fail to encode.
func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here is the client's: it went away.
	_ = json.NewEncoder(w).Encode(value)
}
