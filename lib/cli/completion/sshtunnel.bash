# Completion of sshtunnel for bash. In ~/.bashrc: source <(sshtunnel completion bash)
# shellcheck shell=bash

_sshtunnel() {
  local line=${COMP_LINE:0:COMP_POINT} value broken kept
  local -a words
  # The words as they are written: COMP_WORDS is split at = and : as well.
  read -r -a words <<<"$line"
  case $line in
    *[[:space:]]) words+=('') ;;
  esac
  # Only what follows the last of these characters is replaced.
  broken=${words[${#words[@]} - 1]##*["$COMP_WORDBREAKS"]}
  kept=${words[${#words[@]} - 1]%"$broken"}
  COMPREPLY=()
  while IFS=$'\t' read -r value _; do
    COMPREPLY+=("${value#"$kept"}")
    case $value in
      *[=,@:]) compopt -o nospace 2>/dev/null ;;
    esac
  done < <(sshtunnel completion query -- "${words[@]:1}" 2>/dev/null)
}

# Without a candidate, files are completed.
complete -o default -F _sshtunnel sshtunnel
