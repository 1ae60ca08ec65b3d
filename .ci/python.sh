# Sourced: find_python VERSION prints the path of that Python, or says where it was looked for.

find_python() {
    local version=$1 root candidate
    root=$(pyenv root 2>/dev/null || echo "${PYENV_ROOT:-$HOME/.pyenv}")
    for candidate in "python$version" "$root/versions/$version".*/bin/python python3; do
        # pyenv's shims exist for versions that they refuse to run, and Debian's Python may lack venv.
        if "$candidate" -c "import ensurepip, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "Python $version with venv was not found: neither python$version nor python3 on PATH, nor in $root/versions." \
        "Install it, for example with: pyenv install $version" >&2
    return 1
}
