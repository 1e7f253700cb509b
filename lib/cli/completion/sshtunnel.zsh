#compdef sshtunnel
# Completion of sshtunnel for zsh. In ~/.zshrc, behind compinit: source <(sshtunnel completion zsh)

_sshtunnel() {
  local -a given plain joined
  local value text
  given=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
  while IFS=$'\t' read -r value text; do
    value=${value//:/\\:}${text:+:$text}
    case ${value%%:*} in
      *[=,@]) joined+=("$value") ;;
      *) plain+=("$value") ;;
    esac
  done < <(sshtunnel completion query -- "${given[@]}" 2>/dev/null)
  # Without a candidate, files are completed.
  if (( $#plain + $#joined == 0 )); then
    _files
    return
  fi
  _describe -t sshtunnel sshtunnel plain -- joined -S ''
}

if [[ $funcstack[1] == _sshtunnel ]]; then
  _sshtunnel "$@"
else
  compdef _sshtunnel sshtunnel
fi
