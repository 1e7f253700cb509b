# Completion of sshtunnel for fish. In ~/.config/fish/completions/sshtunnel.fish: sshtunnel completion fish | source

function __sshtunnel_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found (sshtunnel completion query -- $words[2..-1] "$current" 2>/dev/null)
    # Without a candidate, files are completed.
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$current"
    end
end

complete -c sshtunnel -f -a '(__sshtunnel_candidates)'
