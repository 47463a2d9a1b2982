//nolint:gosec // Paths and commands are of this file's making, and what it unpacks has a pinned digest.
package provider

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	keycloakVersion = "26.4.0"
	keycloakSHA256  = "1b6a11a2726ac8a8dc9c91d5fafe989a75ce4f1622d7f7b45c21d5bc16629c0a"
)

// installKeycloak returns a Keycloak home in the user's cache directory that is built for an in-memory database and
// imports realmFile. The home is named after all that shapes it, and appears complete or not at all.
func installKeycloak(ctx context.Context, realmFile string) (string, error) {
	realm, err := os.ReadFile(realmFile)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "tokenwell")
	digest := sha256.Sum256(realm)
	home := filepath.Join(cache, "keycloak-"+keycloakVersion+"-"+hex.EncodeToString(digest[:4]))
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	archive, err := fetchKeycloak(ctx, cache)
	if err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "unpacking-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := unzip(archive, work); err != nil {
		return "", err
	}
	fresh := filepath.Join(work, "keycloak-"+keycloakVersion)
	imports := filepath.Join(fresh, "data", "import")
	if err := os.MkdirAll(imports, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(imports, "realm.json"), realm, 0o600); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, filepath.Join(fresh, "bin", "kc.sh"), "build", "--db=dev-mem")
	build.Env = keycloakEnv()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("kc.sh build: %w\n%s", err, out)
	}
	if err := os.Rename(fresh, home); err != nil && !errors.Is(err, os.ErrExist) {
		if _, lost := os.Stat(home); lost != nil {
			return "", err
		}
	}
	return home, nil
}

// fetchKeycloak returns the distribution's archive, out of the cache or out of the Maven repository, if it is the one
// that this file names.
func fetchKeycloak(ctx context.Context, cache string) (string, error) {
	name := "keycloak-quarkus-dist-" + keycloakVersion + ".zip"
	archive := filepath.Join(cache, name)
	if checkSHA256(archive) == nil {
		return archive, nil
	}
	work, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "dependency:copy",
		"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+keycloakVersion+":zip", "-DoutputDirectory="+work)
	mvn.Dir = work
	if out, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn: %w\n%s", err, bytes.TrimSpace(out))
	}
	fetched := filepath.Join(work, name)
	if err := checkSHA256(fetched); err != nil {
		return "", err
	}
	return archive, os.Rename(fetched, archive)
}

func checkSHA256(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != keycloakSHA256 {
		return fmt.Errorf("%s has SHA-256 %s, not %s", filepath.Base(file), got, keycloakSHA256)
	}
	return nil
}

func unzip(archive, dir string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for _, f := range r.File {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("%s leads out of the archive", f.Name)
		}
		target := filepath.Join(dir, f.Name)
		if strings.HasSuffix(f.Name, "/") {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := unzipFile(f, target); err != nil {
			return err
		}
	}
	return nil
}

func unzipFile(f *zip.File, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, f.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
