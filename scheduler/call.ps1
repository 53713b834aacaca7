<#
.SYNOPSIS
Calls a function as Cloud Scheduler would, for Windows' Task Scheduler. Windows PowerShell 5.1 or newer.

.DESCRIPTION
Variables: SYNC_URL, what the functions' addresses begin with (https://REGION-PROJECT.cloudfunctions.net);
SYNC_ACCOUNT, behind IAM, as deploy.sh leaves them: bothways-caller@PROJECT.iam.gserviceaccount.com (at each try gcloud is asked
for a token of that account; its user needs roles/iam.serviceAccountTokenCreator on it); SYNC_TOKEN_FILE, elsewhere, without
SYNC_ACCOUNT: a file, readable by you alone, with the token for the Authorization header; SYNC_TRIES, how often to try (4);
SYNC_WAIT, seconds before the second try, doubled before each further one (30).

Exit code: 0 done; 1 failed at every try; 2 called wrongly; 3 the token was refused; 4 the request was refused; 5 another run of
the pair was under way at every try.

For a run each night at half past three:
schtasks /Create /SC DAILY /ST 03:30 /TN Bothways /TR "powershell -NoProfile -File C:\bothways\scheduler\call.ps1 bidirectional_sync"

.EXAMPLE
.\call.ps1 reconcile '{"mode": "quick"}'
#>
param(
    [string] $Function = '',
    [string] $Json = '{}',
    [Parameter(ValueFromRemainingArguments = $true)] [string[]] $More = @()
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
[Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12

function Stop-Wrongly([string] $Why) {
    [Console]::Error.WriteLine("call.ps1: $Why")
    exit 2
}

function Get-Line([string] $What) {
    $Now = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
    return "$Now ${Function}: $What"
}

function Write-Trouble([string] $What) {
    [Console]::Error.WriteLine((Get-Line $What))
}

function Get-Number([string] $Text, [int] $Default, [string] $Pattern) {
    if (-not $Text) { return $Default }
    if ($Text -cnotmatch $Pattern) { Stop-Wrongly 'SYNC_TRIES and SYNC_WAIT take whole numbers' }
    return [int] $Text
}

# Whether everyone, all who are signed in, or all users of this machine may read a file.
function Test-Public([string] $Path) {
    $Strangers = 'S-1-1-0', 'S-1-5-11', 'S-1-5-32-545'
    $Read = [Security.AccessControl.FileSystemRights]::ReadData
    foreach ($Rule in (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $Allows = $Rule.AccessControlType -eq 'Allow' -and ($Rule.FileSystemRights -band $Read)
        if ($Allows -and $Rule.IdentityReference.Value -in $Strangers) { return $true }
    }
    return $false
}

# Returns the token; nothing, beside what gcloud says, where it gives none: the function then refuses.
function Get-Token {
    if ($env:SYNC_ACCOUNT) {
        $Whose = "--impersonate-service-account=$env:SYNC_ACCOUNT"
        return (& gcloud auth print-identity-token $Whose "--audiences=$Url" --include-email --quiet) -join ''
    }
    return (Get-Content -LiteralPath $env:SYNC_TOKEN_FILE -Raw) -replace '\s', ''
}

# Returns status and body; 0 for no answer. A redirect is none: behind it lies a page to sign in on.
function Invoke-Function([string] $Token) {
    $Call = @{
        Uri                = $Url
        Method             = 'POST'
        Headers            = @{ Authorization = "Bearer $Token" }
        ContentType        = 'application/json'
        TimeoutSec         = 1800
        MaximumRedirection = 0
        UseBasicParsing    = $true
    }
    if ($Function -eq 'sync_health') { $Call.Method = 'GET' } else { $Call.Body = [Text.Encoding]::UTF8.GetBytes($Json) }
    try {
        $Answer = Invoke-WebRequest @Call
        return @{ Status = [int] $Answer.StatusCode; Body = [string] $Answer.Content }
    } catch {
        $Failure = $_
        $Response = $Failure.Exception | Select-Object -ExpandProperty Response -ErrorAction SilentlyContinue
        if ($null -eq $Response) { return @{ Status = 0; Body = '' } }
        return @{ Status = [int] $Response.StatusCode; Body = [string] $Failure.ErrorDetails }
    }
}

if (-not $Function -or $More.Count) { Stop-Wrongly 'usage: call.ps1 FUNCTION [JSON]; Get-Help .\call.ps1 says more' }
if ($Function -cnotmatch '^[a-z_]+\z') { Stop-Wrongly "$Function is no function's name" }
$Tries = Get-Number $env:SYNC_TRIES 4 '^[1-9][0-9]{0,3}\z'
$Wait = Get-Number $env:SYNC_WAIT 30 '^[0-9]{1,5}\z'
if ("$env:SYNC_URL" -cnotlike 'http*') { Stop-Wrongly 'say in SYNC_URL where the functions are' }
if (-not $env:SYNC_ACCOUNT) {
    if (-not $env:SYNC_TOKEN_FILE -or -not (Test-Path -LiteralPath $env:SYNC_TOKEN_FILE -PathType Leaf)) {
        Stop-Wrongly 'say in SYNC_TOKEN_FILE where the token is; it must be readable'
    }
    if (Test-Public $env:SYNC_TOKEN_FILE) {
        Stop-Wrongly "others can read the token: icacls `"$env:SYNC_TOKEN_FILE`" /inheritance:r /grant:r `"${env:USERNAME}:R`""
    }
}
$Url = $env:SYNC_URL.TrimEnd('/') + '/' + $Function
$Code = 1

for ($Try = 1; $Try -le $Tries; $Try++) {
    $Answer = Invoke-Function (Get-Token)
    $Status = $Answer.Status
    if ($Status -in 200, 202) {
        Write-Output (Get-Line "done ($Status)")
        Write-Output $Answer.Body
        exit 0
    }
    if ($Status -in 401, 403) { Write-Trouble "refused ($Status): $($Answer.Body)"; exit 3 }
    if ($Status -in 400, 404, 405, 413) { Write-Trouble "the request is wrong ($Status): $($Answer.Body)"; exit 4 }
    if ($Status -eq 409) { $Said = "another run is under way ($Status)"; $Code = 5 }
    elseif ($Status -eq 0) { $Said = 'no answer'; $Code = 1 }
    else { $Said = "failed ($Status): $($Answer.Body)"; $Code = 1 }
    Write-Trouble "try $Try of ${Tries}: $Said"
    if ($Try -lt $Tries) { Start-Sleep -Seconds $Wait }
    $Wait = $Wait * 2
}
exit $Code
